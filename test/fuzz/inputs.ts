import { brokenHead, brokenLayers, type Layer } from "./broken-layers.ts";
import { Random, type Values } from "./random.ts";
import { type Call, type KnownTasks, validCall } from "./valid-calls.ts";
import { type HttpRequest, validLayers, type Way, ways } from "./ways.ts";
import { type WireEdits, wireEdits } from "./wire-edits.ts";

/** One input of the fuzz. */
export interface Input {
  readonly index: number;
  readonly way: Way;
  readonly call: Call;
  /** What is wrong with it. Empty: it is a call that the server takes. */
  readonly faults: readonly string[];
  readonly request: HttpRequest;
  /** The client leaves when this many bytes of the body are sent. */
  readonly cutAt?: number;
  /** How the bytes of the connection are edited, for a raw way. */
  readonly edits?: WireEdits;
}

/** The share of inputs without a fault. Not all of them reach a log, of which the fuzz needs a third. */
const validShare = 0.55;

/** Input `index` of a seed. It is the same for the same tasks, but for their ids. */
export function inputOf(seed: number, index: number, values: Values, tasks: KnownTasks): Input {
  const random = new Random(seed, index);
  const way = ways[index % ways.length] as Way;
  const call = validCall({ random, values, tasks, unique: `m-${seed}-${index}` }, way.services);
  const isValid = random.chance(validShare);
  const base = { index, way, call };
  if (isValid) {
    const request = way.encode(call, random, validLayers);
    // A raw connection without a fault is written in small pieces.
    return { ...base, faults: [], request, ...(way.isRaw && { edits: { pieces: 1 + random.below(64), edits: [] } }) };
  }
  const faults: string[] = [];
  const layer = random.chance(way.isRaw ? 0.2 : 0.6)
    ? random.pick<Layer>(["json", "json", "json", "binary", "binary", "compressed", "frame"])
    : undefined;
  let used = false;
  let layers = validLayers;
  if (layer !== undefined) {
    const broken = brokenLayers(layer, random);
    layers = {
      ...broken,
      [layer]: (...args: readonly never[]) => {
        used = true;
        return (broken[layer] as (...given: readonly never[]) => Uint8Array)(...args);
      },
    };
  }
  let request = way.encode(call, random, layers);
  if (layer !== undefined && used) faults.push(layer);
  if (faults.length === 0 ? !way.isRaw || random.chance(0.2) : random.chance(0.2)) {
    request = brokenHead(request, random);
    faults.push("head");
  }
  if (way.isRaw) {
    faults.push("bytes");
    return { ...base, faults, request, edits: wireEdits(request, random) };
  }
  const { body } = request;
  if (body === undefined || !random.chance(0.05)) return { ...base, faults, request };
  return { ...base, faults: [...faults, "cut off"], request, cutAt: random.below(body.byteLength) };
}

/** An input in words, for a report. */
export function shown({ index, way, call, faults, request, cutAt, edits }: Input): string {
  const { version, verb, path, headers, body } = request;
  const bytes = body && Buffer.from(body);
  return [
    `input ${index}: ${way.name}, ${call.method.name}, ${faults.length === 0 ? "valid" : `faults: ${faults.join(", ")}`}`,
    `${verb} ${path.slice(0, 200)} HTTP/${version}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value.slice(0, 200)}`),
    ...(bytes ? [`${bytes.byteLength} bytes: ${JSON.stringify(bytes.toString("latin1").slice(0, 600))}`] : []),
    ...(cutAt === undefined ? [] : [`the client leaves after ${cutAt} bytes of the body`]),
    ...(edits ? [`edits: ${JSON.stringify(edits).slice(0, 600)}`] : []),
  ].join("\n");
}
