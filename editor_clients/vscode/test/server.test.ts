import { beforeEach, describe, expect, it, vi } from "vitest";
import type { LogOutputChannel } from "vscode";
import { Server } from "../src/server";
import type { ServerStatus } from "../src/status";

const { State, clients, makeClient } = vi.hoisted(() => {
  const State = { Stopped: 1, Running: 2, Starting: 3, StartFailed: 4 };

  /** A client whose server does what a test has it do. */
  class Client {
    state = State.Stopped;
    private told: (change: { newState: number }) => void = () => undefined;

    constructor(readonly status: (status: ServerStatus) => void) {}

    onDidChangeState(told: (change: { newState: number }) => void): void {
      this.told = told;
    }

    start(): Promise<void> {
      this.becomes(State.Starting);
      return Promise.resolve();
    }

    dispose(): Promise<void> {
      this.becomes(State.Stopped);
      return Promise.resolve();
    }

    becomes(state: number): void {
      this.state = state;
      this.told({ newState: state });
    }
  }

  const clients: Client[] = [];
  const makeClient = (options: { status: (status: ServerStatus) => void }): Client => {
    const client = new Client(options.status);
    clients.push(client);
    return client;
  };
  return { State, clients, makeClient };
});

vi.mock("vscode", () => ({
  workspace: { getConfiguration: () => ({ get: () => [process.execPath] }) },
  EventEmitter: class {
    private readonly listeners: ((value: unknown) => void)[] = [];
    readonly event = (listener: (value: unknown) => void): void => void this.listeners.push(listener);
    fire(value: unknown): void {
      this.listeners.forEach((listener) => { listener(value); });
    }
  },
}));
vi.mock("vscode-languageclient/node", () => ({ State }));
vi.mock("../src/client", () => ({ makeClient }));
vi.mock("../src/pythonExtension", () => ({ selectedPython: () => Promise.resolve(undefined) }));

const READY: ServerStatus = { state: "ready", enabled: true, model: "m" };
const LOG = { info: () => undefined } as unknown as LogOutputChannel;

describe("the server", () => {
  let server: Server;
  let client: ReturnType<typeof makeClient>;
  let told: string[];

  beforeEach(async () => {
    clients.length = 0;
    server = new Server(LOG, "/own", []);
    await server.restart();
    [client] = clients as [typeof client];
    client.becomes(State.Running);
    client.status(READY);
    told = [];
    server.onStatus(({ state }) => told.push(state));
  });

  it("is not called ready any more once it has ended, until the next one is", () => {
    expect(server.status).toEqual(READY);
    client.becomes(State.Stopped);
    client.becomes(State.Starting);
    client.becomes(State.Running);
    expect(server.status.state).toBe("starting");
    client.status(READY);
    expect(told).toEqual(["failed", "starting", "ready"]);
  });

  it("is asked while it starts again, and commands wait until it runs", () => {
    client.becomes(State.Stopped);
    expect([server.client, server.coming]).toEqual([undefined, undefined]);
    client.becomes(State.Starting);
    expect([server.client, server.coming]).toEqual([undefined, client]);
    client.becomes(State.Running);
    expect([server.client, server.coming]).toEqual([client, client]);
  });

  it("is not asked where it cannot be started", () => {
    client.becomes(State.Stopped);
    client.becomes(State.Starting);
    client.becomes(State.StartFailed);
    expect(server.coming).toBeUndefined();
    expect(server.status.state).toBe("failed");
  });

  it("says nothing of a client that it has done with", async () => {
    await server.stop();
    client.becomes(State.Starting);
    expect(server.coming).toBeUndefined();
    expect(server.status.state).toBe("stopped");
  });
});
