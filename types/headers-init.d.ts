// Connect's declarations use this type of the DOM library, which Node's types do not declare. The rest of the library
// is not needed.
type HeadersInit = NonNullable<ConstructorParameters<typeof Headers>[0]>;
