/**
 * The server's life: found, started, restarted, stopped.
 *
 * extension ▶ **server** ▶ {finding, client}. What is asked for while something of that goes on waits for it.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";
import { State, type LanguageClient } from "vscode-languageclient/node";
import { makeClient } from "./client";
import { find, type Found } from "./finding";
import { selectedPython } from "./pythonExtension";
import { Queue } from "./queue";
import { SECTION } from "./settings";
import type { Status } from "./status";

export class Server implements vscode.Disposable {
  private readonly queue = new Queue();
  private readonly changes = new vscode.EventEmitter<Status>();
  private current: LanguageClient | undefined;
  private place: Found = { kind: "missing" };
  private is: Status = { state: "starting" };

  /** Told whenever the status changes. */
  readonly onStatus = this.changes.event;

  /** `own` is the virtual environment that the extension makes; `settings` are the names of those to pass on. */
  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly own: string,
    private readonly settings: readonly string[],
  ) {}

  get status(): Status {
    return this.is;
  }

  /** Where the command was found, or why it was not. */
  get found(): Found {
    return this.place;
  }

  /** The client that can be asked now. */
  get client(): LanguageClient | undefined {
    return this.current?.state === State.Running ? this.current : undefined;
  }

  /** That one, or one that starts or restarts: it keeps what it is asked until it runs. */
  get coming(): LanguageClient | undefined {
    return this.current?.state === State.Starting ? this.current : this.client;
  }

  /** Start it, anew if it runs. */
  restart(): Promise<void> {
    return this.queue.run("restart", async () => {
      await this.end();
      await this.begin();
    });
  }

  /** Stop it for as long as `work` goes on, which changes what there is to start. */
  async exchange(message: string, work: () => Promise<void>): Promise<void> {
    try {
      await this.queue.run("exchange", async () => {
        await this.end();
        this.say({ state: "installing", message });
        await work();
      });
    } finally {
      await this.restart();
    }
  }

  stop(): Promise<void> {
    return this.queue.run("stop", () => this.end());
  }

  dispose(): void {
    this.changes.dispose();
  }

  private async begin(): Promise<void> {
    this.say({ state: "starting" });
    this.place = await look(this.own);
    if (this.place.kind === "missing") {
      this.say({ state: "missing" });
    } else if (this.place.kind === "mistaken") {
      this.say({ state: "failed", message: this.place.message });
    } else {
      await this.launch(this.place.command);
    }
  }

  private async launch(command: readonly string[]): Promise<void> {
    this.log.info(`starting ${command.join(" ")} serve`);
    const client = makeClient({
      command,
      log: this.log,
      settings: this.settings,
      status: (status) => {
        this.say(status);
      },
    });
    this.current = client;
    client.onDidChangeState(({ newState }) => {
      if (newState !== State.Running && this.current === client) {
        this.say(newState === State.Starting ? { state: "starting" } : ENDED);
      }
    });
    try {
      await client.start();
    } catch (error) {
      this.log.error(String(error));
      this.say({ state: "failed", message: `${command.join(" ")} serve can't be started; its log says more` });
    }
  }

  private async end(): Promise<void> {
    const client = this.current;
    this.current = undefined;
    try {
      await client?.dispose();
    } catch (error) {
      this.log.warn(`the server did not end as it should: ${String(error)}`);
    }
    this.say({ state: "stopped" });
  }

  private say(status: Status): void {
    this.is = status;
    this.changes.fire(status);
  }
}

const ENDED: Status = { state: "failed", message: "the server has ended; its log says more" };

async function look(own: string): Promise<Found> {
  return find({
    setting: vscode.workspace.getConfiguration(SECTION).get<string[]>("command") ?? [],
    python: await selectedPython(),
    folders: (process.env.PATH ?? "").split(path.delimiter),
    own,
    windows: process.platform === "win32",
    isProgram,
  });
}

function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}
