import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { find, type Surroundings } from "../src/finding";

const OWN = path.resolve("/own");
const BIN = path.resolve("/usr/bin");

function around(programs: string[], more: Partial<Surroundings> = {}): Surroundings {
  const files = programs.map((file) => path.resolve(file));
  const isProgram = (file: string): boolean => files.includes(file);
  return { setting: [], python: undefined, folders: [BIN], own: OWN, windows: false, isProgram, ...more };
}

describe("finding fimble", () => {
  it("takes what the user has set, arguments included", () => {
    const setting = [path.resolve("/opt/fimble"), "--debug"];
    expect(find(around(["/opt/fimble", "/usr/bin/fimble"], { setting }))).toEqual({
      kind: "found",
      command: setting,
      where: "setting",
    });
  });

  it("looks for a name that is set on PATH", () => {
    const found = find(around(["/usr/bin/fimble-dev"], { setting: ["fimble-dev"] }));
    expect(found).toMatchObject({ command: [path.join(BIN, "fimble-dev")] });
  });

  it("tells when what is set is not there, and takes nothing else", () => {
    const found = find(around(["/usr/bin/fimble"], { setting: ["/no/fimble"] }));
    expect(found).toEqual({
      kind: "mistaken",
      message: "the setting fimble.command names /no/fimble, and there is no such program",
    });
  });

  it("prefers the selected Python environment to PATH, and PATH to its own installation", () => {
    const python = path.resolve("/project/.venv/bin/python");
    const programs = ["/project/.venv/bin/fimble", "/usr/bin/fimble", "/own/bin/fimble"];
    const where = [0, 1, 2].map((count) => find(around(programs.slice(count), { python })));
    expect(where.map((found) => found.kind === "found" && found.where)).toEqual(["environment", "path", "own"]);
  });

  it("finds nothing where there is nothing", () => {
    expect(find(around([]))).toEqual({ kind: "missing" });
  });

  it("runs nothing from a folder of PATH that is relative", () => {
    expect(find(around(["bin/fimble"], { folders: ["bin", "."] }))).toEqual({ kind: "missing" });
  });

  it("knows where Windows and conda keep commands", () => {
    const python = path.resolve("/conda/python.exe");
    const found = find(around(["/conda/Scripts/fimble.exe"], { python, windows: true }));
    expect(found).toMatchObject({ command: [path.resolve("/conda/Scripts/fimble.exe")], where: "environment" });
  });
});
