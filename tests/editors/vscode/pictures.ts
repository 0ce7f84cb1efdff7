/**
 * The picture and the recording of the documentation: VS Code, the default model, and nobody's tricks.
 *
 *     make pictures-vscode        writes docs/vscode.png and docs/vscode.gif
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { PICTURES, ROOT, VSCode } from "./editor.ts";

const FRAME = 100; // milliseconds
const ABOVE = "import sys\n\n\ndef main():\n    print(sys.argv)\n\n\n";

const code = await VSCode.start({
  "fimble.command": [path.join(ROOT, ".venv", "bin", "fimble")],
  "fimble.multiline": false,
  "editor.fontSize": 15,
  "editor.lineNumbers": "off",
  "workbench.activityBar.location": "hidden",
  "workbench.layoutControl.enabled": false,
  "window.commandCenter": false,
  "breadcrumbs.enabled": false,
  "editor.stickyScroll.enabled": false,
});
try {
  const window = await code.open("read.py", ABOVE);
  const { page } = window;
  await page.setViewportSize({ width: 720, height: 330 });
  await window.statusThat("ready, with the model default");
  await window.command("View: Toggle Primary Side Bar Visibility");
  await window.toEnd();

  const frames: Buffer[] = [];
  const ending = new AbortController();
  const recorder = (async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const [frame] = await Promise.all([page.screenshot(), new Promise((resolve) => setTimeout(resolve, FRAME))]);
      frames.push(frame);
    }
  })();
  await window.type("if __name__ ", 170);
  const ghost = await window.ghostThat("completes the line", (text) => text.startsWith("=="));
  await page.screenshot({ path: path.join(ROOT, "docs", "vscode.png") });
  await new Promise((resolve) => setTimeout(resolve, 900)); // to be read
  await window.type("== ", 250);
  await window.ghostThat("is what is left", (text) => text === ghost.slice(3));
  await window.press("Control+ArrowRight");
  await new Promise((resolve) => setTimeout(resolve, 600));
  await window.press("Tab");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  ending.abort();
  await recorder;

  fs.mkdirSync(path.join(PICTURES, "frames"), { recursive: true });
  const files = frames.map((frame, index) => {
    const file = path.join(PICTURES, "frames", `${String(index).padStart(3, "0")}.png`);
    fs.writeFileSync(file, frame);
    return file;
  });
  const script = path.join(import.meta.dirname, "make_gif.py");
  const gif = path.join(ROOT, "docs", "vscode.gif");
  execFileSync(path.join(ROOT, ".venv", "bin", "python"), [script, gif, String(FRAME), ...files]);
} finally {
  await code.stop();
}
