/** What one task keeps in memory for its readers. A reader that falls further behind reads from the log. */
export const feedEntriesMax = 1024;
export const feedBytesMax = 1024 * 1024;
