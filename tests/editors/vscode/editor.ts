/** A real VS Code with our extension, in a browser without a screen, and what a person does in it. */
import { spawn, type ChildProcess } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import type { Browser, Page } from "playwright-core";

export const ROOT = path.resolve(import.meta.dirname, "../../..");
/** Where what is installed for these tests lies, and what they leave behind. */
export const BUILD = path.join(ROOT, "build", "editors");
export const PICTURES = path.join(BUILD, "pictures");

/** Seconds that are waited at most. A window takes 5 to open and a model 3 to load; on two busy cores it is ten times that. */
const PATIENCE = 120;
/** Milliseconds after which ghost text that stays as it is grows no more. */
const STILL = 1000;
/** Milliseconds after which a person presses a key again that nothing has come of. */
const AGAIN = 5000;

const EXTENSION = path.join(ROOT, "editor_clients", "vscode");
const CODE_SERVER = path.join(BUILD, "code-server", "node_modules", "code-server", "out", "node", "entry.js");
const STATUS = '.statusbar-item[aria-label^="fimble:"]';
const CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** The settings of every test; ours are added to them. */
const SETTINGS = {
  "security.workspace.trust.startupPrompt": "never",
  "workbench.startupEditor": "none",
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "extensions.autoUpdate": false,
  "extensions.autoCheckUpdates": false,
  "chat.disableAIFeatures": true,
  "workbench.tips.enabled": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.colorTheme": "Default Dark Modern",
  "editor.minimap.enabled": false,
  "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
  "editor.parameterHints.enabled": false,
  "editor.autoClosingBrackets": "never",
  "editor.autoClosingQuotes": "never",
  "editor.cursorBlinking": "solid",
  "files.autoSave": "off",
  "git.enabled": false,
};

/** Whether `text` goes on with `if __name__ `, in either kind of quotes. */
export function isMain(text: string): boolean {
  return /^== (["'])__main__\1/.test(text);
}

/** Wait until `value` gives something true, or say what was waited for. */
export async function until<T>(what: string, value: () => T | Promise<T>): Promise<NonNullable<T>> {
  const end = Date.now() + 1000 * PATIENCE;
  for (;;) {
    const found = await value();
    if (found) {
      return found;
    }
    if (Date.now() > end) {
      throw new Error(`waited ${PATIENCE} s for ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/** code-server, with settings, extensions and data of its own. */
export class VSCode {
  readonly home: string;
  private readonly port: number;
  private readonly server: ChildProcess;
  private readonly browser: Browser;

  private constructor(home: string, port: number, server: ChildProcess, browser: Browser) {
    this.home = home;
    this.port = port;
    this.server = server;
    this.browser = browser;
  }

  /** Start it; `settings` are a user's, `variables` the environment's. With `trust` it asks which folders have it. */
  static async start(
    settings: object,
    variables: Record<string, string> = {},
    { trust = false }: { trust?: boolean } = {},
  ): Promise<VSCode> {
    fs.mkdirSync(PICTURES, { recursive: true });
    const home = fs.mkdtempSync(path.join(BUILD, "run-"));
    const port = await freePort();
    const environment = { ...process.env, HOME: home, XDG_CONFIG_HOME: path.join(home, "config"),
      XDG_DATA_HOME: path.join(home, "data"), FIMBLE_DATA_DIR: path.join(home, "fimble"), ...variables };
    const folders = ["--user-data-dir", path.join(home, "user"), "--extensions-dir", path.join(home, "extensions")];
    writeSettings(home, settings);
    const extensions = [path.join(EXTENSION, "out", "fimble.vsix"), path.join(BUILD, "python-stub.vsix")];
    const install = extensions.flatMap((vsix) => ["--install-extension", vsix]);
    await ended(spawn(process.execPath, [CODE_SERVER, ...folders, ...install], { env: environment }));
    const log = fs.openSync(path.join(home, "log"), "a");
    const server = spawn(
      process.execPath,
      [CODE_SERVER, "--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-telemetry", ...folders,
        "--disable-update-check", "--disable-getting-started-override", ...(trust ? [] : ["--disable-workspace-trust"])],
      { env: environment, stdio: ["ignore", log, log] },
    );
    const { chromium } = createRequire(path.join(EXTENSION, "package.json"))("playwright-core") as
      typeof import("playwright-core");
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    const browser = await chromium.launch({ executablePath, args: CHROMIUM });
    await until("code-server", () => fetch(`http://127.0.0.1:${port}/healthz`).then(({ ok }) => ok, () => false));
    return new VSCode(home, port, server, browser);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    this.server.kill();
    await new Promise((resolve) => this.server.once("exit", resolve));
    if (process.env.KEEP === undefined) {
      fs.rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  /** Change the user's settings while it runs. */
  configure(settings: object): void {
    writeSettings(this.home, settings);
  }

  /** A window with `file`, which is written first, in a folder of its own. */
  async open(file: string, text: string, folder = "work"): Promise<Window> {
    const place = path.join(this.home, folder, file);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    fs.writeFileSync(place, text);
    const page = await this.browser.newPage({ viewport: { width: 1000, height: 560 } });
    page.setDefaultTimeout(1000 * PATIENCE);
    const host = `127.0.0.1:${this.port}`;
    const payload = JSON.stringify([["openFile", `vscode-remote://${host}${place}`]]);
    await page.addInitScript(prepare);
    await page.goto(`http://${host}/?folder=${path.dirname(place)}&payload=${encodeURIComponent(payload)}`);
    await page.waitForSelector(".monaco-editor .view-line");
    return new Window(page, path.dirname(place), place);
  }

  /** The processes of `fimble serve` that were started from here. */
  servers(): number[] {
    const parents = new Map<number, number>();
    const found: number[] = [];
    for (const name of fs.readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
      try {
        const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8");
        parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
        const words = fs.readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
        if (words.includes("serve") && words.some((word) => path.basename(word).includes("fimble"))) {
          found.push(Number(name));
        }
      } catch {
        // it has ended meanwhile
      }
    }
    return found.filter((pid) => {
      let each: number | undefined = pid;
      while (each !== undefined && each > 1 && each !== this.server.pid) {
        each = parents.get(each);
      }
      return each === this.server.pid;
    });
  }
}

/** One window, with one file open. */
export class Window {
  readonly page: Page;
  private readonly folder: string;
  private file: string;

  constructor(page: Page, folder: string, file: string) {
    this.page = page;
    this.folder = folder;
    this.file = file;
  }

  /** Open another file in it, with the cursor at its end. */
  async show(file: string, text: string): Promise<void> {
    this.file = path.join(this.folder, file);
    fs.writeFileSync(this.file, text);
    await this.press("Control+O");
    await this.page.waitForSelector('.quick-input-titlebar:has-text("Open File")'); // and not a list of commands
    await this.page.waitForSelector(".quick-input-list .monaco-list-row"); // it has its first path
    await this.press("Control+A");
    await this.page.keyboard.insertText(this.file);
    await this.page.waitForSelector(`.quick-input-list .monaco-list-row[aria-label*="${file}"]`);
    await this.press("Enter");
    await this.page.waitForSelector(`.tab.active[data-resource-name="${file}"]`);
    await this.toEnd();
  }

  /** Put the cursor at the end of the file. */
  async toEnd(): Promise<void> {
    await this.page.click(".monaco-editor .view-lines", { position: { x: 5, y: 5 } }); // messages are at the bottom
    await this.press("Control+End");
  }

  async type(text: string, delay = 60): Promise<void> {
    await this.page.keyboard.type(text, { delay });
  }

  press(key: string): Promise<void> {
    return this.page.keyboard.press(key);
  }

  /** The ghost text on the screen. */
  ghost(): Promise<string> {
    return this.page.evaluate(() => (globalThis as unknown as InPage).fimbleGhost());
  }

  /** Press `key`; what ghost text there is behind it, and after how many milliseconds, if there is within `patience`. */
  async ghostAfterKey(key: string, patience: number): Promise<{ milliseconds: number | undefined; ghost: string }> {
    await this.page.evaluate((most) => {
      const page = globalThis as unknown as InPage;
      page.fimbleTimed = new Promise((resolve) => {
        const before = page.fimbleCode();
        const pressed = (event: KeyboardEvent): void => {
          const look = (): void => {
            const milliseconds = performance.now() - event.timeStamp;
            const ghost = page.fimbleGhost();
            if (ghost !== "" && page.fimbleCode() !== before) {
              resolve({ milliseconds, ghost });
            } else if (milliseconds > most) {
              resolve({ milliseconds: undefined, ghost: "" });
            } else {
              requestAnimationFrame(() => setTimeout(look));
            }
          };
          requestAnimationFrame(() => setTimeout(look));
        };
        window.addEventListener("keydown", pressed, { capture: true, once: true });
      });
    }, patience);
    await this.press(key);
    return this.page.evaluate(() => (globalThis as unknown as InPage).fimbleTimed);
  }

  /** Note the ghost text of every frame from now on, where it differs from that of the last one. */
  async watch(): Promise<() => Promise<string[]>> {
    await this.page.evaluate(() => {
      const page = globalThis as unknown as InPage;
      const seen: string[] = (page.fimbleSeen = []);
      const look = (): void => {
        const text = page.fimbleGhost();
        if (text !== seen.at(-1)) {
          seen.push(text);
        }
        onPaint();
      };
      const onPaint = (): void => {
        requestAnimationFrame(() => setTimeout(look)); // after the frame: before it, not all is in its place
      };
      onPaint();
    });
    return () => this.page.evaluate(() => (globalThis as unknown as InPage).fimbleSeen);
  }

  /** The ghost text once it is as it should be. */
  async ghostThat(what: string, is: (ghost: string) => boolean | Promise<boolean>): Promise<string> {
    let ghost = "";
    await until(`ghost text that ${what}`, async () => {
      ghost = await this.ghost();
      return is(ghost);
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}, and it is ${JSON.stringify(ghost)}`);
    });
    return ghost;
  }

  anyGhost(): Promise<string> {
    return this.ghostThat("is there", (ghost) => ghost.trim() !== "");
  }

  noGhost(): Promise<string> {
    return this.ghostThat("is gone", (ghost) => ghost === "");
  }

  /** The ghost text once it is as it should be and grows no more. What is compared later must not be half of it. */
  wholeGhost(what: string, is: (ghost: string) => boolean): Promise<string> {
    let last: string | undefined;
    let since = Date.now();
    return this.ghostThat(`${what} and is whole`, async (ghost) => {
      if (ghost !== last || !(await this.status()).includes("ready")) {
        last = ghost;
        since = Date.now();
      }
      return is(ghost) && Date.now() - since >= STILL;
    });
  }

  /** Press `key` until the ghost text is as it should be. */
  pressUntilGhost(key: string, what: string, is: (ghost: string) => boolean): Promise<string> {
    let pressed = 0;
    return this.ghostThat(`${what} after ${key}`, async (ghost) => {
      if (!is(ghost) && Date.now() - pressed >= AGAIN) {
        pressed = Date.now();
        await this.press(key);
      }
      return is(ghost);
    });
  }

  /** What the status bar says of fimble. */
  status(): Promise<string> {
    return this.page.locator(STATUS).getAttribute("aria-label").then((label) => label ?? "");
  }

  statusThat(words: string): Promise<string> {
    return until(`a status that says ${words}`, async () => {
      const status = await this.status();
      return status.includes(words) ? status : undefined;
    });
  }

  /** Note all that the status bar says from now on, however short it says so. */
  async statuses(): Promise<() => Promise<string[]>> {
    await this.page.evaluate((item) => {
      const seen: string[] = ((globalThis as unknown as InPage).fimbleStatuses = []);
      const observer = new MutationObserver(() => {
        const status = document.querySelector(item)?.getAttribute("aria-label") ?? "";
        if (status !== "" && status !== seen.at(-1)) {
          seen.push(status);
        }
      });
      observer.observe(document.body, { subtree: true, childList: true, attributeFilter: ["aria-label"] });
    }, STATUS);
    return () => this.page.evaluate(() => (globalThis as unknown as InPage).fimbleStatuses);
  }

  /** Save, and wait until what is saved is as it should be. */
  async saved(what: string, is: (text: string) => boolean): Promise<string> {
    let looks = 0;
    return until(`a file that ${what}`, async () => {
      if (looks++ % 20 === 0) {
        await this.press("Control+S"); // again, where it came before what was to be saved
      }
      const text = fs.readFileSync(this.file, "utf8");
      return is(text) ? text : undefined;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}, and it is ${JSON.stringify(fs.readFileSync(this.file, "utf8"))}`);
    });
  }

  /** Run a command of the palette. */
  async command(title: string): Promise<void> {
    await this.press("F1");
    await this.page.waitForSelector(".quick-input-widget input");
    await this.page.keyboard.type(title);
    await this.page.click(`.quick-input-list .monaco-list-row[aria-label^="${title}"]`);
  }

  async picture(name: string): Promise<void> {
    await this.page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
  }
}

/** What the page has of ours. */
interface InPage {
  fimbleGhost(): string;
  fimbleSeen: string[];
  fimbleStatuses: string[];
  /** The code on the screen, without ghost text. */
  fimbleCode(): string;
  fimbleTimed: Promise<{ milliseconds: number | undefined; ghost: string }>;
}

/** Runs in the page: how to read ghost text, whose parts are in no order but that on the screen. */
function prepare(): void {
  Object.assign(globalThis, {
    fimbleCode(): string {
      const spans = document.querySelectorAll(".monaco-editor .view-lines .view-line span > span");
      const lines = document.querySelectorAll(".monaco-editor .view-lines .view-line").length;
      const code = [...spans].filter((span) => !span.className.includes("ghost-text"));
      return `${lines} ${code.map((span) => span.textContent).join("")}`;
    },
    fimbleGhost(): string {
      const parts = [...document.querySelectorAll(".monaco-editor [class*=ghost-text]")]
        .filter((part) => !part.parentElement?.closest("[class*=ghost-text]"))
        .map((part) => ({ text: part.textContent, box: part.getBoundingClientRect() }))
        .map(({ text, box }) => ({ text, row: Math.round(box.top / 10), left: box.left }))
        .sort((one, other) => one.row - other.row || one.left - other.left);
      const text = parts.map((part, index) => {
        const above = parts[index - 1];
        return (above !== undefined && part.row > above.row ? "\n" : "") + part.text;
      });
      return text.join("").replaceAll("\u00a0", " ");
    },
  });
}

function writeSettings(home: string, settings: object): void {
  for (const whose of ["User", "Machine"]) {
    // Some of ours are of the machine that the server runs on.
    const folder = path.join(home, "user", whose);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, "settings.json"), JSON.stringify({ ...SETTINGS, ...settings }, null, 2));
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => { resolve(port); });
    });
  });
}

async function ended(child: ChildProcess): Promise<void> {
  const status = await new Promise((resolve) => child.once("exit", resolve));
  if (status !== 0) {
    throw new Error(`${child.spawnargs.join(" ")} ended with ${String(status)}`);
  }
}
