/** Child processes that run to their end: what they print, and whether they may go on. */
import { spawn } from "node:child_process";

export interface Run {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

export interface RunOptions {
  /** Called with each line, of output or of errors, as it comes. */
  readonly line?: (line: string) => void;
  readonly signal?: AbortSignal;
  readonly cwd?: string;
}

/** Run `command`; rejects where it cannot be started or is aborted. */
export function run(command: readonly string[], options: RunOptions = {}): Promise<Run> {
  const [program = "", ...rest] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      ...(options.signal && { signal: options.signal }),
      ...(options.cwd !== undefined && { cwd: options.cwd }),
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
