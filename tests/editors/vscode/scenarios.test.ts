/** What a person does with fimble in VS Code, and sees. Run by `make test-editors-vscode`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { isMain, ROOT, until, VSCode, type Window } from "./editor.ts";

const PYTHON = path.join(ROOT, ".venv", "bin", "python");
const FIMBLE = path.join(ROOT, ".venv", "bin", "fimble");
const SLOW = [PYTHON, path.join(import.meta.dirname, "slow_fimble.py")];
const SLOW_TEXT = "if item is None:\n            continue\n        result += item";

const MAIN = "def main():\n    pass\n\n\n";
const LOOP = "def total(items):\n    result = 0\n    for item in items:\n";

describe("fimble in VS Code", { timeout: 1_800_000 }, () => {
  let code: VSCode;
  let window: Window;
  let number = 0;

  /** What the tests set; a setting that is undefined is the default. */
  let settings: Record<string, unknown> = {};
  function set(more: Record<string, unknown>): void {
    settings = { ...settings, ...more };
    code.configure(settings);
  }

  /** A new file in the window, with the cursor at its end. */
  async function file(text: string): Promise<void> {
    await window.show(`file${++number}.py`, text);
  }

  /** The ghost text of a file in which something is begun that every model knows the end of. */
  async function begun(): Promise<string> {
    await file(MAIN);
    await window.type("if __name__ ");
    return window.wholeGhost("completes the line", isMain);
  }

  before(async () => {
    const stub = execFileSync(PYTHON, [path.join(import.meta.dirname, "stub_wheel.py"), FIMBLE], { encoding: "utf8" });
    settings = { "fimble.installArguments": ["--no-index", stub.trim()] };
    code = await VSCode.start(settings, { PATH: "/usr/bin:/bin:/usr/local/bin" });
    window = await code.open("first.py", MAIN);
  });

  after(async () => {
    await code.stop();
  });

  function scenario(name: string, run: () => Promise<void>): void {
    it(name, { timeout: 360_000 }, async () => {
      try {
        await run();
      } catch (error) {
        await window.picture(`failed-${name.replaceAll(/\W+/g, "-")}`);
        throw error;
      }
    });
  }

  scenario("fimble is found in the Python environment that is selected, and only while it is", async () => {
    await window.statusThat("not installed");
    set({ "python.defaultInterpreterPath": PYTHON });
    await window.statusThat("ready, with the model default");
    set({ "python.defaultInterpreterPath": undefined });
    await window.statusThat("not installed");
    await until("the end of the server", () => code.servers().length === 0);
  });

  scenario("where there is no fimble, it is offered, and installed when the user agrees, which the walkthrough ticks", async () => {
    await window.statusThat("not installed");
    await window.picture("offer");
    await window.command("Welcome: Open Walkthrough");
    await window.page.click('.quick-input-list .monaco-list-row[aria-label*="Get started with fimble"]');
    const step = '.getting-started-step:has-text("The server") .codicon-getting-started-step-';
    await window.page.waitForSelector(`${step}unchecked`);
    await window.command("Notifications: Show Notifications"); // the offer does not stay on the screen by itself
    await window.page.click('.notifications-center .monaco-button:text-is("Install")');
    await window.statusThat("ready, with the model default");
    await window.page.waitForSelector(`${step}checked`);
    await window.picture("walkthrough");
    await window.command("View: Close Editor,");
    await window.page.waitForSelector(".getting-started-step", { state: "detached" });
  });

  scenario("ghost text comes, is typed through, and is accepted with Tab", async () => {
    const ghost = await begun();
    await window.picture("ghost");
    for (const [index, key] of ["=", "=", " "].entries()) {
      await window.type(key);
      await window.ghostThat("is what is left", (text) => text === ghost.slice(index + 1));
    }
    await window.press("Tab");
    await window.saved("has the whole line", (text) => text === `${MAIN}if __name__ ${ghost}`);
  });

  scenario("a word is accepted, and the rest stays", async () => {
    const ghost = await begun();
    await window.press("Control+ArrowRight");
    const rest = await window.ghostThat("is shorter", (text) => text !== "" && text !== ghost && ghost.endsWith(text));
    const word = ghost.slice(0, ghost.length - rest.length);
    assert.ok(word.length > 1, word);
    await window.saved("has the word", (text) => text === `${MAIN}if __name__ ${word}`);
  });

  scenario("Escape takes ghost text away until the next key", async () => {
    const ghost = await begun();
    await window.press("Escape");
    await window.noGhost();
    await window.saved("has only what was typed", (text) => text === `${MAIN}if __name__ `);
    assert.equal(await window.ghost(), "");
    await window.type("=");
    await window.ghostThat("is back", (text) => text === ghost.slice(1));
  });

  scenario("who types something else is not shown what would have been there", async () => {
    await begun();
    await window.type("in sys.modules", 20);
    await window.wholeGhost("does not claim the old", (text) => !isMain(text));
    await window.saved("has what was typed", (text) => text === `${MAIN}if __name__ in sys.modules`);
  });

  scenario("there are other candidates to look at", async () => {
    set({ "fimble.latencyBudgetMs": null }); // within it, a slow machine has one candidate only
    await file("import os\n\n\ndef name_of(path):\n");
    await window.type("    return ");
    const first = await window.wholeGhost("is there", (text) => text.trim() !== "");
    await window.pressUntilGhost("Alt+BracketRight", "is another one", (text) => text !== "" && text !== first);
    await window.pressUntilGhost("Alt+BracketLeft", "is the first one", (text) => text === first);
    set({ "fimble.latencyBudgetMs": undefined });
  });

  for (const closing of ["never", "always"]) {
    scenario(`brackets are as many as are needed (auto-closing: ${closing})`, async () => {
      set({ "editor.autoClosingBrackets": closing });
      await file("def show(items):\n    print(items)\n\n\ndef show_all(items):\n");
      await window.type("    print(");
      await window.wholeGhost("is there", (text) => text.trim() !== "");
      await window.press("Tab");
      const last = (text: string): string => text.slice(text.lastIndexOf("print("));
      const line = last(await window.saved("has an argument", (saved) => /print\([^)]/.test(last(saved))));
      const [opened, closed] = [/[(]/g, /[)]/g].map((bracket) => (line.match(bracket) ?? []).length);
      assert.equal(closed, opened, line);
    });
  }

  scenario("a second window has ghost text of its own", async () => {
    const other = await code.open("other.py", MAIN, "second");
    await other.statusThat("ready, with the model default");
    await other.toEnd();
    await other.type("if __name__ ");
    await other.ghostThat("completes the line", isMain);
    assert.equal(code.servers().length, 2);
    await other.page.close();
    await until("the end of the second window's server", () => code.servers().length === 1);
    await window.page.bringToFront();
  });

  scenario("completions are switched off and on", async () => {
    await file(MAIN);
    await window.command("fimble: Turn Completions On or Off");
    await window.statusThat("off");
    await window.toEnd();
    await window.type("if __name__ ");
    await window.saved("has only what was typed", (text) => text === `${MAIN}if __name__ `);
    assert.equal(await window.ghost(), "");
    await window.command("fimble: Turn Completions On or Off");
    await window.statusThat("ready");
    await window.toEnd();
    await window.type("=");
    await window.anyGhost();
  });

  scenario("a server that is killed comes back by itself, and completes what is typed meanwhile", async () => {
    await file(MAIN);
    const [killed = 0] = code.servers();
    const statuses = await window.statuses();
    process.kill(killed, "SIGKILL");
    // What is on the screen may still be the killed one's; that it starts is only said of the next one.
    await until("a server that starts again", async () => (await statuses()).some((each) => each.includes("starting")));
    await window.type("if __name__ ");
    await window.ghostThat("completes the line", isMain);
    await window.statusThat("ready, with the model default");
    const [other, ...more] = code.servers();
    assert.notEqual(other, killed);
    assert.deepEqual(more, []);
  });

  scenario("a model that is not there is told, and choosing another one mends it", async () => {
    set({ "fimble.model": "/nowhere" });
    await window.statusThat("/nowhere");
    await window.picture("error");
    set({ "fimble.model": undefined });
    await window.statusThat("ready, with the model default");
  });

  scenario("the models that there are can be chosen among", async () => {
    await window.command("fimble: Choose Model");
    await window.page.waitForSelector('.quick-input-list .monaco-list-row[aria-label*="default"][aria-label*="in use"]');
    await window.picture("models");
    await window.press("Escape");
  });

  scenario("what became of the completions is counted", async () => {
    await window.command("fimble: Show Statistics");
    await window.page.waitForSelector('.tab[aria-label*="fimble statistics"]');
    const frame = window.page.frameLocator("iframe.webview").frameLocator("iframe");
    await frame.locator("h1").filter({ hasText: "fimble" }).waitFor();
    await window.picture("statistics");
    await window.command("View: Close Editor,");
    const env = { ...process.env, FIMBLE_DATA_DIR: path.join(code.home, "fimble") };
    const lines = execFileSync(FIMBLE, ["stats", "--json"], { encoding: "utf8", env }).trim().split("\n");
    const counted = JSON.parse(lines[0] ?? "") as Record<string, number>;
    assert.ok((counted.shown ?? 0) >= 5, lines[0]);
    assert.ok((counted.accepted ?? 0) >= 2, lines[0]);
    assert.ok((counted.partly_accepted ?? 0) >= 1, lines[0]);
  });

  scenario("a setting for the command restarts the server", async () => {
    set({ "fimble.command": ["/no/such/fimble"] });
    await window.statusThat("there is no such program");
    set({ "fimble.command": SLOW, "editor.autoClosingBrackets": "never" });
    await window.statusThat("ready, with the model slow");
  });

  scenario("of what takes long, the first line comes early, and the rest without a flicker", async () => {
    await file(LOOP);
    const frames = await window.watch();
    await window.type("        ");
    await window.ghostThat("is whole", (text) => text === SLOW_TEXT);
    const seen = await frames();
    // A frame that is read while its lines are put in their place has them in another order than the next one.
    const letters = (text = ""): string => Array.from(text.replaceAll(/\s/g, "")).sort().join("");
    const whole = seen.filter((text, index) => letters(text) === "" || letters(text) !== letters(seen[index + 1]));
    const shown = whole.slice(whole.findIndex((text) => text !== ""));
    assert.ok(shown.length >= 2, JSON.stringify(seen));
    for (const [index, text] of shown.entries()) {
      assert.ok(text !== "" && SLOW_TEXT.startsWith(text), JSON.stringify(seen));
      assert.ok(index === 0 || text.length > (shown[index - 1] ?? "").length, JSON.stringify(seen));
    }
  });

  scenario("a line is accepted, and the lines below stay", async () => {
    await window.press("Control+Alt+ArrowRight");
    await window.ghostThat("is the second line on", (text) => text.trim().startsWith("continue"));
    await window.saved("has the first line", (text) => text.startsWith(`${LOOP}        if item is None:`));
    await window.press("Tab"); // indents, as VS Code wants it where so much indentation is missing
    await window.ghostThat("is without it", (text) => text.startsWith("continue"));
    await window.press("Tab");
    await window.saved("has all", (text) => text === `${LOOP}        ${SLOW_TEXT}`);
  });

  scenario("Escape while it grows ends it", async () => {
    await file(LOOP);
    await window.type("        ");
    await window.anyGhost();
    await window.press("Escape");
    await window.wholeGhost("is gone", (text) => text === "");
  });

  scenario("settings hold without a restart", async () => {
    const [before] = code.servers();
    set({ "fimble.multiline": false });
    await file(LOOP);
    await window.type("        ");
    const [line = ""] = SLOW_TEXT.split("\n");
    await until("one line only", async () => {
      await window.type("x");
      await window.press("Backspace"); // asks again, after the setting has come to the server at the latest
      return (await window.wholeGhost("is there", (text) => text !== "")) === line;
    });
    assert.deepEqual(code.servers(), [before]);
  });
});
