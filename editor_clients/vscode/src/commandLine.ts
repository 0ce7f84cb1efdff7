/** The `fimble` command's other uses: what it prints for `models`, `stats` and the like. */
import { lastLine, run, type RunOptions } from "./processes";
import type { Server } from "./server";

/** What `fimble` prints for `args`; rejects with its own words where it fails. */
export async function fimble(server: Server, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { found } = server;
  if (found.kind !== "found") {
    throw new Error(found.kind === "mistaken" ? found.message : "fimble is not installed");
  }
  const { status, output, errors } = await run([...found.command, ...args], options);
  if (status !== 0) {
    throw new Error(lastLine(errors) || `fimble ${args[0] ?? ""} ended with ${status ?? "a signal"}`);
  }
  return output;
}
