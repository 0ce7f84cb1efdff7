/** What a folder that is not trusted may do in VS Code. Run by `make test-editors-vscode`. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { isMain, ROOT, until, VSCode } from "./editor.ts";

const FIMBLE = path.join(ROOT, ".venv", "bin", "fimble");

describe("a folder whose settings name a program of its own", { timeout: 600_000 }, () => {
  let code: VSCode;

  before(async () => {
    code = await VSCode.start({ "fimble.command": [FIMBLE] }, {}, { trust: true });
  });

  after(async () => {
    await code.stop();
  });

  it("is completed in with the user's own, until the user trusts it", { timeout: 360_000 }, async () => {
    const settings = path.join(code.home, "strange", ".vscode", "settings.json");
    fs.mkdirSync(path.dirname(settings), { recursive: true });
    fs.writeFileSync(settings, JSON.stringify({ "fimble.command": ["/strange/fimble"], "fimble.model": "/strange/model" }));
    const window = await code.open("main.py", "def main():\n    pass\n\n\n", "strange");
    try {
      await window.statusThat("ready, with the model default");
      await window.toEnd();
      await window.type("if __name__ ");
      await window.ghostThat("completes the line", isMain);
      await window.command("Workspaces: Manage Workspace Trust");
      await window.page.click('.workspace-trust-editor .monaco-button:text-is("Trust")');
      await window.statusThat("there is no such program");
      await until("the end of the server", () => code.servers().length === 0);
    } catch (error) {
      await window.picture("failed-untrusted");
      throw error;
    }
    assert.ok((await window.status()).includes("/strange/fimble"));
  });
});
