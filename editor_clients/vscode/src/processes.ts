/** Child processes: where they run, and of those that run to their end, what they print. */
import { spawn } from "node:child_process";
import * as os from "node:os";

/**
 * The folder that children run in. Not the opened one: `python -m` imports from the current folder before it looks
 * anywhere else, and Windows looks there for programs.
 */
export const SAFE_FOLDER = os.homedir();

/** How `vscode-languageclient` starts the server; by itself it would do so in the opened folder. */
export function serverProcess(command: readonly string[]): {
  command: string;
  args: string[];
  options: { cwd: string };
} {
  const [program = "", ...rest] = command;
  return { command: program, args: [...rest, "serve"], options: { cwd: SAFE_FOLDER } };
}

export interface Run {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

export interface RunOptions {
  /** Called with each line, of output or of errors, as it comes. */
  readonly line?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Run `command`; rejects where it cannot be started or is aborted. */
export function run(command: readonly string[], options: RunOptions = {}): Promise<Run> {
  const [program = "", ...rest] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      cwd: SAFE_FOLDER,
      ...(options.signal && { signal: options.signal }),
    });
    const output = collect(child.stdout, options.line);
    const errors = collect(child.stderr, options.line);
    child.once("error", reject);
    child.once("close", (status) => {
      resolve({ status, output: output(), errors: errors() });
    });
  });
}

/** The last line that says something: where programs say what went wrong. */
export function lastLine(text: string): string {
  return text.trim().split(/\r?\n/).at(-1)?.trim() ?? "";
}

function collect(stream: NodeJS.ReadableStream, line?: (line: string) => void): () => string {
  let text = "";
  let begun = "";
  stream.setEncoding("utf8");
  stream.on("data", (piece: string) => {
    text += piece;
    const lines = (begun + piece).split(/\r?\n/);
    begun = lines.pop() ?? "";
    lines.filter((each) => each.trim()).forEach((each) => line?.(each));
  });
  return () => text;
}
