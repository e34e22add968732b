import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { bindings } from "../../e2e/bindings.ts";
import { type Served, served } from "../../e2e/served.ts";

const extendedCard = {
  name: "Demo agent",
  description: "With what is only for some",
  skills: [{ id: "secret", name: "s", description: "s", tags: ["s"] }],
};

test("isn't public by mistake: it needs allowAnonymous, since callers aren't authenticated (R112, R114)", async () => {
  await expect(served({ processor: demoProcessor, card: { extended: extendedCard } })).rejects.toThrow(
    /card\.extended: needs allowAnonymous/,
  );
});

describe("with that word", () => {
  let server: Served;
  beforeAll(async () => {
    server = await served({ processor: demoProcessor, card: { extended: extendedCard }, allowAnonymous: true });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each(bindings)("is complete, and for its caller alone, over $name (R113, R115)", async ({ connect }) => {
    let caching: string | null = null;
    const onHeader = (header: Headers) => {
      caching = header.get("cache-control");
    };
    const card = await connect(server.url.origin).a2a.getExtendedAgentCard({}, { onHeader });
    expect(card).toMatchObject({
      description: extendedCard.description,
      capabilities: { streaming: true, extendedAgentCard: true },
    });
    expect(card.supportedInterfaces[0]?.url).toBe(server.url.host);
    expect(caching).toBe("private, no-cache");
  });

  test("the public card says that there is one, and no more", async () => {
    const text = await (await fetch(new URL("/.well-known/agent-card.json", server.url))).text();
    expect(JSON.parse(text).capabilities.extendedAgentCard).toBe(true);
    expect(text).not.toContain("secret");
  });
});
