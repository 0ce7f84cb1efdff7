/** What we tell the server without asking anything, as Copilot's clients do (docs/protocol.md). */
import type * as vscode from "vscode";
import { State, type InlineCompletionItem, type LanguageClient } from "vscode-languageclient/node";

/** Tells that an item is on the screen. */
export function tellShown(client: LanguageClient, item: InlineCompletionItem): void {
  void tell(client, "textDocument/didShowCompletion", { item });
}

/** Tells that so many UTF-16 units of an item are accepted. */
export function tellPartlyAccepted(client: LanguageClient, item: InlineCompletionItem, acceptedLength: number): void {
  void tell(client, "textDocument/didPartiallyAcceptCompletion", { item, acceptedLength });
}

/** Tells that the user works in this document now. */
export function tellFocus(client: LanguageClient, document: vscode.TextDocument): void {
  const textDocument = client.code2ProtocolConverter.asTextDocumentIdentifier(document);
  void tell(client, "textDocument/didFocus", { textDocument });
}

/** Send a notification; where the server has ended meanwhile, nobody misses it. */
export async function tell(client: LanguageClient, method: string, params: object): Promise<void> {
  if (client.state === State.Running) {
    await client.sendNotification(method, params).catch(() => undefined);
  }
}
