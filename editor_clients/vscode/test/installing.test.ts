import * as fs from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { interpreterIn } from "../src/finding";
import { install, namedInterpreters, type Installation } from "../src/installing";

/** A program that does what an interpreter would be asked to: it tells its version, and makes an environment. */
const PYTHON = `
const { mkdirSync, copyFileSync, chmodSync } = require("node:fs");
const { dirname } = require("node:path");
const [script, isolated, ...words] = process.argv.slice(1);
if (isolated !== "-I" || process.cwd() !== require("node:os").homedir()) process.exit(3);
if (words[0] === "-c") console.log(process.env.FAKE_VERSION ?? "3 12");
else if (words[1] === "venv") {
  const python = words[2] + "/bin/python";
  mkdirSync(dirname(python), { recursive: true });
  copyFileSync(script, python);
  chmodSync(python, 0o755);
} else {
  console.log("Collecting " + words.at(-1));
  if (words.includes("broken")) {
    console.error("ERROR: no such package");
    process.exit(1);
  }
}
`;

describe.skipIf(process.platform === "win32")("installing", () => {
  let place: string;
  let lines: string[];
  let python: string;

  function installation(more: Partial<Installation> = {}): Installation {
    return {
      folder: path.join(place, "server"),
      arguments: ["fimble"],
      interpreters: [[path.join(place, "none")], [python]],
      windows: false,
      signal: new AbortController().signal,
      line: (line) => lines.push(line),
      ...more,
    };
  }

  beforeEach(async () => {
    place = await fs.mkdtemp(path.join(os.tmpdir(), "fimble-"));
    lines = [];
    python = path.join(place, "python");
    await fs.writeFile(python, `#!${process.execPath}\n${PYTHON}`, { mode: 0o755 });
  });

  afterEach(async () => {
    delete process.env.FAKE_VERSION;
    await fs.rm(place, { recursive: true });
  });

  it("takes the first interpreter that will do, and tells what it does", async () => {
    await install(installation());
    await fs.access(interpreterIn(path.join(place, "server"), false));
    expect(lines).toContain("Collecting fimble");
    expect(lines).toContain(`${python} is Python 3.12`);
  });

  it("updates what is there already", async () => {
    await install(installation());
    await install(installation({ interpreters: [] }));
    expect(lines.filter((line) => line === "Collecting fimble")).toHaveLength(2);
  });

  it("says which Python is wanted where there is none that will do", async () => {
    process.env.FAKE_VERSION = "3 9";
    await expect(install(installation())).rejects.toThrow("there is no Python from 3.10 to 3.13 here");
  });

  it("tells what pip says, and leaves no half an environment", async () => {
    await expect(install(installation({ arguments: ["broken"] }))).rejects.toThrow(
      "pip has failed: ERROR: no such package",
    );
    await expect(fs.access(path.join(place, "server"))).rejects.toThrow();
  });

  it("ends when the user wants it to", async () => {
    const aborting = new AbortController();
    aborting.abort();
    await expect(install(installation({ signal: aborting.signal }))).rejects.toMatchObject({ name: "AbortError" });
  });
});

it("knows the names of interpreters", () => {
  expect(namedInterpreters(true)[0]).toEqual(["py", "-3.13"]);
  expect(namedInterpreters(false)[0]).toEqual(["python3"]);
});
