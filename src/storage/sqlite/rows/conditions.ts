/** Conditions that several statements share. The numbers are those of `TaskState`, which never change. */

/**
 * Whether a task holds conversation `c`: one that runs, or one that waits for its client since after `:heldSince`. The
 * first condition is that of the index `tasks_holding`, word for word, so that SQLite uses the index.
 */
export const held = `EXISTS (
  SELECT 1 FROM {tasks} AS h
  WHERE h.conversation = c.id AND h.state IN (1, 2, 6, 8) AND (h.state IN (1, 2) OR h.status_time_ms > :heldSince)
)`;

/** Whether conversation `c` can be found: neither removed nor past its time (`:liveSince`). */
export const live = `(c.key IS NOT NULL AND (c.last_access_ms >= :liveSince OR ${held}))`;
