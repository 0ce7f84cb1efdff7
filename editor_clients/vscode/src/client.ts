/** The language client: documents, settings and commands by `vscode-languageclient`, ghost text by our own provider. */
import * as vscode from "vscode";
import {
  LanguageClient,
  type ClientCapabilities,
  type DynamicFeature,
  type FeatureState,
  type StaticFeature,
} from "vscode-languageclient/node";
import { serverProcess } from "./processes";
import { tell } from "./telling";
import { chosenSettings, SECTION } from "./settings";
import type { ServerStatus } from "./status";

/** Documents that somebody writes; output and the like are none. */
export const SELECTOR = ["file", "untitled", "vscode-vfs", "vscode-notebook-cell"].map((scheme) => ({ scheme }));

export interface ClientOptions {
  readonly command: readonly string[];
  readonly log: vscode.LogOutputChannel;
  readonly settings: readonly string[];
  readonly status: (status: ServerStatus) => void;
}

class FimbleClient extends LanguageClient {
  override registerFeature(feature: StaticFeature | DynamicFeature<never>): void {
    const ghostText = "registrationType" in feature && feature.registrationType.method === INLINE_COMPLETION;
    if (!ghostText) {
      super.registerFeature(feature);
    }
  }
}

const INLINE_COMPLETION = "textDocument/inlineCompletion";

/** What we can do beside what the library can. */
const OURS: StaticFeature = {
  fillClientCapabilities(capabilities: ClientCapabilities): void {
    capabilities.textDocument = { ...capabilities.textDocument, inlineCompletion: {} };
    capabilities.window = { ...capabilities.window, workDoneProgress: false }; // the status bar shows it
    capabilities.experimental = { fimbleStatus: true };
  },
  getState: (): FeatureState => ({ kind: "static" }),
  initialize: () => undefined,
  clear: () => undefined,
};

/** A client for the server that `command` starts; it is not started yet. */
export function makeClient({ command, log, settings, status }: ClientOptions): LanguageClient {
  const client: LanguageClient = new FimbleClient(
    SECTION,
    "fimble",
    serverProcess(command),
    {
      documentSelector: SELECTOR,
      outputChannel: log,
      errorHandler: {
        error: (error, message, count) => restarts.error(error, message, count),
        closed: async () => ({ ...(await restarts.closed()), handled: true }), // the status bar says so
      },
      middleware: {
        workspace: {
          configuration: ({ items }) => items.map(() => chosenSettings(settings)),
          didChangeConfiguration: () => {
            const changed = { settings: { [SECTION]: chosenSettings(settings) } };
            return tell(client, "workspace/didChangeConfiguration", changed);
          },
        },
      },
    },
  );
  const restarts = client.createDefaultErrorHandler();
  client.registerFeature(OURS);
  client.onNotification("fimble/status", status);
  return client;
}
