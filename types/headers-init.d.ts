// Connect's declarations name this type of the DOM library, which Node's types don't declare; the rest of the DOM stays
// out.
type HeadersInit = NonNullable<ConstructorParameters<typeof Headers>[0]>;
