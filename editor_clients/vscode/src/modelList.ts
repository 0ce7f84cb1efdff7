/** The models that `fimble models --json` knows, as a person chooses among them. */

/** A line of `fimble models --json`; null is what nobody knows. */
export interface ModelRecord {
  readonly name: string;
  readonly path: string | null;
  readonly family: string | null;
  readonly licence: string | null;
  readonly fill_in_the_middle: boolean | null;
  readonly size: number | null;
  readonly fits: boolean | null;
  /** Why it does not fit. */
  readonly obstacle: "memory" | "speed" | null;
  /** The time of a token, as far as it can be foreseen. */
  readonly token_ms: number | null;
}

export interface Choice {
  readonly name: string;
  readonly here: boolean;
  readonly fits: boolean;
  readonly description: string;
  readonly detail: string;
}

/** Read what the command printed. */
export function readModels(output: string): ModelRecord[] {
  const lines = output.split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as ModelRecord);
}

/** What can be chosen: models that are here, then those that fit, the smaller first, then the rest. */
export function choices(models: readonly ModelRecord[], current: string | undefined): Choice[] {
  return models.map((model) => choice(model, current)).sort((one, other) => rank(one) - rank(other));
}

function rank({ here, fits }: Choice): number {
  return (here ? 0 : 1) + (fits ? 0 : 2);
}

function choice(model: ModelRecord, current: string | undefined): Choice {
  const here = model.path !== null;
  const fits = model.fits !== false;
  const facts = [
    model.size === null ? undefined : size(model.size),
    model.licence ?? undefined,
    model.fill_in_the_middle === false ? "sees only what stands before the cursor" : undefined,
    fits ? undefined : misfit(model),
  ];
  const state = model.name === current ? "in use" : here ? "on this machine" : "to be downloaded";
  return { name: model.name, here, fits, description: state, detail: facts.filter(Boolean).join(", ") };
}

function misfit({ obstacle, token_ms: milliseconds }: ModelRecord): string {
  return obstacle === "speed" && milliseconds !== null
    ? `too slow here: ~${Number(milliseconds.toPrecision(2))} ms a token`
    : "needs more memory than is free here";
}

/** A number of bytes as people say it. */
export function size(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}
