/** Our questions to the server, as LSP and its extension have them (docs/protocol.md). */
import * as vscode from "vscode";
import {
  InlineCompletionRequest,
  ProgressType,
  type InlineCompletionItem,
  type InlineCompletionList,
  type LanguageClient,
} from "vscode-languageclient/node";
import type { Ask, Items } from "./asking";
import type { Place } from "./place";

type Result = InlineCompletionItem[] | InlineCompletionList | null;

const PARTIAL = new ProgressType<InlineCompletionList>();
let token = 0;

/** Asks about `place`; with `grows`, for the text as it grows. */
export function askServer(
  client: LanguageClient,
  place: Place,
  context: vscode.InlineCompletionContext,
  grows: boolean,
): Ask {
  return (partial) => {
    const source = new vscode.CancellationTokenSource();
    const params = client.code2ProtocolConverter.asInlineCompletionParams(place.document, place.position, context);
    if (!grows) {
      return { answer: request(client, params, source), cancel: cancel(source) };
    }
    const partialResultToken = `fimble/${++token}`;
    const listening = client.onProgress(PARTIAL, partialResultToken, ({ items }) => {
      partial(items);
    });
    const answer = request(client, { ...params, partialResultToken }, source);
    return { answer: answer.finally(() => { listening.dispose(); }), cancel: cancel(source) };
  };
}

async function request(
  client: LanguageClient,
  params: object,
  source: vscode.CancellationTokenSource,
): Promise<Items | null> {
  try {
    const result = await client.sendRequest<Result>(InlineCompletionRequest.method, params, source.token);
    return result !== null && "items" in result ? result.items : result;
  } finally {
    source.dispose();
  }
}

function cancel(source: vscode.CancellationTokenSource): () => void {
  return () => {
    source.cancel();
  };
}

