/** Installs fimble into a virtual environment of the extension's own, which the user has agreed to. */
import * as fs from "node:fs/promises";
import { interpreterIn } from "./finding";
import { lastLine, run } from "./processes";

export interface Installation {
  /** The virtual environment's folder. */
  readonly folder: string;
  /** What `pip install` is given. */
  readonly arguments: readonly string[];
  /** Interpreters that may be there, the preferred ones first. */
  readonly interpreters: readonly (readonly string[])[];
  readonly windows: boolean;
  readonly signal: AbortSignal;
  /** Told what is done, line by line. */
  readonly line: (line: string) => void;
}

/** What the user can mend; the message says how. */
export class InstallationFailed extends Error {}

const OLDEST = 10; // of Python 3
const NEWEST = 13;
const VERSION = "import sys; print(sys.version_info[0], sys.version_info[1])";
const ISOLATED = "-I"; // of Python: nothing is imported from the current folder, or because of the environment

/** Install or update it; rejects with what went wrong, and leaves no half an environment behind. */
export async function install(installation: Installation): Promise<void> {
  const { folder, windows } = installation;
  const python = interpreterIn(folder, windows);
  const fresh = !(await exists(python));
  if (fresh) {
    const base = await suitable(installation);
    await step(installation, [...base, ISOLATED, "-m", "venv", folder], "no virtual environment can be made");
  }
  try {
    const pip = [python, ISOLATED, "-m", "pip", "install", "--upgrade", "--disable-pip-version-check", "--no-input"];
    await step(installation, [...pip, ...installation.arguments], "pip has failed");
  } catch (error) {
    if (fresh) {
      await fs.rm(folder, { recursive: true, force: true });
    }
    throw error;
  }
}

/** The interpreters that a machine may have by name. */
export function namedInterpreters(windows: boolean): string[][] {
  const versions = Array.from({ length: NEWEST - OLDEST + 1 }, (_, index) => `3.${NEWEST - index}`);
  return windows
    ? [...versions.map((version) => ["py", `-${version}`]), ["python"]]
    : [["python3"], ...versions.map((version) => [`python${version}`]), ["python"]];
}

async function suitable({ interpreters, signal, line }: Installation): Promise<readonly string[]> {
  for (const interpreter of interpreters) {
    const version = await run([...interpreter, ISOLATED, "-c", VERSION], { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      line(`${interpreter.join(" ")}: ${String(error)}`);
      return undefined;
    });
    const [major, minor] = (version?.output ?? "").trim().split(" ").map(Number);
    if (major === 3 && minor !== undefined && minor >= OLDEST && minor <= NEWEST) {
      line(`${interpreter.join(" ")} is Python 3.${minor}`);
      return interpreter;
    }
  }
  throw new InstallationFailed(`there is no Python from 3.${OLDEST} to 3.${NEWEST} here: install one from python.org`);
}

async function step({ signal, line }: Installation, command: readonly string[], failure: string): Promise<void> {
  line(command.join(" "));
  const { status, errors, output } = await run(command, { signal, line });
  if (status !== 0) {
    throw new InstallationFailed(`${failure}: ${lastLine(errors) || lastLine(output)}`);
  }
}

async function exists(file: string): Promise<boolean> {
  return fs.access(file).then(
    () => true,
    () => false,
  );
}
