/**
 * How long it takes from a key to ghost text on the screen, in VS Code, with the default model.
 *
 *     make latency-vscode        prints figures, and writes build/editors/latency-vscode.json
 *
 * Somebody types a file, a key every 120 ms at most, until ghost text has followed 100 of them. Timed is what the eye
 * sees: from the key's event to the frame that has both the key's character and ghost text behind it. Keys that agree
 * with the ghost text leave the rest of it on the screen; after others it is a new one, and those are told apart, too.
 * A key that nothing follows within the time that is waited is not counted.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BUILD, ROOT, VSCode, type Window } from "./editor.ts";

const KEYS = 100;
const PACE = 120; // milliseconds
const PATIENCE = 1000; // milliseconds

const TEXT = `class Config:
    def __init__(self, name, path, timeout):
        self.name = name
        self.path = path
        self.timeout = timeout


def read_lines(path):
    with open(path) as file:
        lines = file.read().split("\\n")
    result = []
    for line in lines:
        if not line:
            continue
        result.append(line.strip())
    return result


if __name__ == "__main__":
    for line in read_lines("config.txt"):
        print(line)
`;

interface Figures {
  readonly keys: number;
  readonly shown: number;
  readonly p50_ms: number;
  readonly p95_ms: number;
  readonly p50_changed_ms: number;
  readonly p95_changed_ms: number;
}

interface Timed {
  /** Undefined where nothing came. */
  readonly milliseconds: number | undefined;
  /** Whether the ghost text is another one than what was left of the last. */
  readonly changed: boolean;
}

/** Type `text` until `KEYS` keys have had ghost text after them. */
async function typed(window: Window, text: string): Promise<Timed[]> {
  const times: Timed[] = [];
  let before = "";
  for (const key of text) {
    const [{ milliseconds, ghost }] = await Promise.all([
      window.ghostAfterKey(key === "\n" ? "Enter" : key, PATIENCE),
      new Promise((resolve) => setTimeout(resolve, PACE)),
    ]);
    times.push({ milliseconds, changed: ghost !== before.slice(1) });
    before = ghost;
    if (times.filter((one) => one.milliseconds !== undefined).length === KEYS) {
      break;
    }
  }
  return times;
}

function share(times: readonly number[], part: number): number {
  const sorted = [...times].sort((one, other) => one - other);
  return Math.round(10 * (sorted[Math.ceil(part * sorted.length) - 1] ?? NaN)) / 10;
}

const code = await VSCode.start({
  "fimble.command": [path.join(ROOT, ".venv", "bin", "fimble")],
  "editor.autoIndent": "none",
});
try {
  const window = await code.open("typed.py", "");
  await window.statusThat("ready, with the model default");
  await window.toEnd();
  const times = await typed(window, TEXT);
  const shown = times.filter(({ milliseconds }) => milliseconds !== undefined);
  const all = shown.map(({ milliseconds }) => milliseconds ?? NaN);
  const changed = shown.filter((one) => one.changed).map(({ milliseconds }) => milliseconds ?? NaN);
  const figures: Figures = {
    keys: times.length,
    shown: all.length,
    p50_ms: share(all, 0.5),
    p95_ms: share(all, 0.95),
    p50_changed_ms: share(changed, 0.5),
    p95_changed_ms: share(changed, 0.95),
  };
  const git = (...args: string[]): string => execFileSync("git", args, { cwd: ROOT, encoding: "utf8" }).trim();
  const record = {
    ...figures,
    processor: os.cpus()[0]?.model ?? "unknown",
    cores: os.availableParallelism(),
    load: os.loadavg()[0],
    commit: git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain") === "" ? "" : "+"),
    date: new Date().toISOString().slice(0, 10),
  };
  fs.writeFileSync(path.join(BUILD, "latency-vscode.json"), `${JSON.stringify(record, null, 2)}\n`);
  process.stdout.write(
    `${JSON.stringify(record)}\n` +
      `VS Code, a key to ghost text on the screen, ${record.shown} keys: p50 ${record.p50_ms} ms, p95 ${record.p95_ms} ms; ` +
      `where the text is a new one, p50 ${record.p50_changed_ms} ms, p95 ${record.p95_changed_ms} ms ` +
      `(${record.processor}, ${record.cores} cores, load ${record.load?.toFixed(1) ?? "?"}; commit ${record.commit})\n`,
  );
} finally {
  await code.stop();
}
