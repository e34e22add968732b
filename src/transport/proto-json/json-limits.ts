/**
 * Levels of messages and JSON values within each other that are read from a request or a card. One of free JSON
 * (`google.protobuf.Struct` and its like) counts each object and array. The library's own bound.
 */
export const jsonLevelsMax = 100;
