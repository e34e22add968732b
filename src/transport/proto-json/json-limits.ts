/**
 * The most levels of nested messages and free JSON values (`google.protobuf.Struct` and the like) in a request or a
 * card. It is the library's default.
 */
export const jsonLevelsMax = 100;
