/** Where the `fimble` command is: what the user set, the Python environment, PATH, or our own installation. */
import * as path from "node:path";

/** What is looked at; a test has its own. */
export interface Surroundings {
  /** The setting `fimble.command`; empty where the user has set nothing. */
  readonly setting: readonly string[];
  /** The interpreter of the Python environment that is selected for this folder, if it may be used. */
  readonly python: string | undefined;
  /** The folders of PATH. */
  readonly folders: readonly string[];
  /** The virtual environment that this extension makes. */
  readonly own: string;
  readonly windows: boolean;
  isProgram(file: string): boolean;
}

export type Found =
  | { readonly kind: "found"; readonly command: readonly string[]; readonly where: Where }
  | { readonly kind: "mistaken"; readonly message: string }
  | { readonly kind: "missing" };

export type Where = "setting" | "environment" | "path" | "own";

/** The command to start, without `serve`. */
export function find(around: Surroundings): Found {
  const [program, ...rest] = around.setting;
  if (program !== undefined) {
    const file = path.isAbsolute(program) ? program : onPath(program, around);
    return file !== undefined && around.isProgram(file)
      ? { kind: "found", command: [file, ...rest], where: "setting" }
      : { kind: "mistaken", message: `the setting fimble.command names ${program}, and there is no such program` };
  }
  const candidates: [Where, string | undefined][] = [
    ["environment", beside(around.python, around)],
    ["path", onPath("fimble", around)],
    ["own", beside(interpreterIn(around.own, around.windows), around)],
  ];
  for (const [where, file] of candidates) {
    if (file !== undefined) {
      return { kind: "found", command: [file], where };
    }
  }
  return { kind: "missing" };
}

/** The interpreter of a virtual environment. */
export function interpreterIn(environment: string, windows: boolean): string {
  return windows ? path.join(environment, "Scripts", "python.exe") : path.join(environment, "bin", "python");
}

/** The `fimble` of an interpreter's environment; conda on Windows keeps commands in a folder below it. */
function beside(python: string | undefined, around: Surroundings): string | undefined {
  if (python === undefined) {
    return undefined;
  }
  const folder = path.dirname(python);
  const places = around.windows ? [folder, path.join(folder, "Scripts")] : [folder];
  return places.map((place) => path.join(place, executable("fimble", around))).find((file) => around.isProgram(file));
}

/** Relative folders of PATH are left out: a program in the opened folder is not ours to run. */
function onPath(name: string, around: Surroundings): string | undefined {
  return around.folders
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, executable(name, around)))
    .find((file) => around.isProgram(file));
}

function executable(name: string, around: Surroundings): string {
  return around.windows && path.extname(name) === "" ? `${name}.exe` : name;
}
