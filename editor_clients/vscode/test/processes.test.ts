import * as fs from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run, serverProcess } from "../src/processes";

describe("a child process", () => {
  const before = process.cwd();
  let workspace: string;

  beforeEach(async () => {
    workspace = await fs.mkdtemp(path.join(os.tmpdir(), "fimble-"));
    process.chdir(workspace); // as VS Code has it where it was started with `code .`
  });

  afterEach(async () => {
    process.chdir(before);
    await fs.rm(workspace, { recursive: true });
  });

  it("does not run in the opened folder", async () => {
    const { output } = await run([process.execPath, "-p", "process.cwd()"]);
    expect(output.trim()).toBe(os.homedir());
  });

  it("that is the server does not, either", () => {
    expect(serverProcess(["/usr/bin/python3", "-m", "lsp_server"])).toEqual({
      command: "/usr/bin/python3",
      args: ["-m", "lsp_server", "serve"],
      options: { cwd: os.homedir() },
    });
  });
});
