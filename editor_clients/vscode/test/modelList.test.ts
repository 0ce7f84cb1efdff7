import { describe, expect, it } from "vitest";
import { choices, readModels, size, type ModelRecord } from "../src/modelList";

function model(name: string, more: Partial<ModelRecord> = {}): ModelRecord {
  const nothing = { path: null, family: null, licence: null, fill_in_the_middle: null, size: null, fits: null };
  const unknown = { obstacle: null, token_ms: null };
  return { name, ...nothing, ...unknown, ...more };
}

describe("the list of models", () => {
  it("is what the command prints, a record a line", () => {
    const [one, two] = [model("default", { path: "/m" }), model("big")];
    expect(readModels(`${JSON.stringify(one)}\n${JSON.stringify(two)}\n`)).toEqual([one, two]);
  });

  it("begins with what is here, and ends with what does not fit", () => {
    const models = [model("big", { fits: false }), model("other"), model("mine", { path: "/m" })];
    expect(choices(models, undefined).map(({ name }) => name)).toEqual(["mine", "other", "big"]);
  });

  it("says what one wants to know before one chooses", () => {
    const facts = { licence: "Apache-2.0", size: 4_560_000_000, fits: false, fill_in_the_middle: false };
    const [choice] = choices([model("big", facts)], undefined);
    expect(choice?.description).toBe("to be downloaded");
    expect(choice?.detail).toBe(
      "4.6 GB, Apache-2.0, sees only what stands before the cursor, needs more memory than is free here",
    );
  });

  it("says how slow a model would be that is too slow", () => {
    const facts = { fits: false, obstacle: "speed", token_ms: 238.4 } as const;
    expect(choices([model("big", facts)], undefined)[0]?.detail).toBe("too slow here: ~240 ms a token");
  });

  it("marks the one in use", () => {
    expect(choices([model("mine", { path: "/m" })], "mine")[0]?.description).toBe("in use");
  });

  it("says sizes as people do", () => {
    expect([size(2_700_000), size(1_140_000_000)]).toEqual(["3 MB", "1.1 GB"]);
  });
});
