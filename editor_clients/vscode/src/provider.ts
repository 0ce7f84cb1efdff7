/**
 * Ghost text: VS Code's questions, answered by the server.
 *
 * VS Code ▶ **provider** ▶ {asking, asker} ▶ the server. VS Code asks with every key. One question is open at a time;
 * it is cancelled by the next one, and as soon as its place is left.
 */
import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { askServer } from "./asker";
import { Asking, type Items } from "./asking";
import { isHere, placeOf, samePlace, type Place } from "./place";
import { Shown } from "./shown";
import { tellFocus, tellPartlyAccepted, tellShown } from "./telling";

/** The first version of VS Code that is seen to take a longer text without hiding the shorter one for a moment. */
const GROWS_SINCE = 139;

const GROWING = "fimble.growing"; // a context key: part of a suggestion is on the screen

export class CompletionProvider implements vscode.InlineCompletionItemProvider, vscode.Disposable {
  private readonly disposables: vscode.Disposable[] = [];
  private registration: vscode.Disposable;
  private asking: { readonly asking: Asking; readonly place: Place } | undefined;
  private grown: { readonly items: Items; readonly place: Place } | undefined;
  private growing = false;
  private readonly shown = new Shown();

  /** `extension` is our id; `client` is the one that runs or is about to, if there is one: VS Code asks once only. */
  constructor(
    private readonly extension: string,
    private readonly selector: vscode.DocumentSelector,
    private readonly client: () => LanguageClient | undefined,
  ) {
    this.registration = this.register();
    this.disposables.push(
      vscode.workspace.onDidChangeTextDocument((event) => {
        this.changed(event);
      }),
      vscode.window.onDidChangeTextEditorSelection(() => {
        this.moved();
      }),
      vscode.window.onDidChangeActiveTextEditor((editor) => {
        this.focused(editor);
      }),
    );
  }

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[] | undefined> {
    const place = placeOf(document, position, context);
    const invoked = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    const client = this.client();
    if (client === undefined) {
      return undefined;
    }
    if (!invoked && this.grown !== undefined && samePlace(this.grown.place, place)) {
      return this.answer(client, place, this.grown.items);
    }
    this.end();
    const asking = this.ask(client, place, context, !invoked && canGrow());
    const cancelling = token.onCancellationRequested(() => {
      asking.cancel();
    });
    const items = await asking.first;
    cancelling.dispose();
    if (token.isCancellationRequested || items === null) {
      return undefined;
    }
    this.tellGrowing();
    return this.answer(client, place, items);
  }

  /** Take what is shown off the screen, and let nothing more come. */
  async dismiss(): Promise<void> {
    this.end();
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
  }

  /** Want nothing any more. */
  end(): void {
    this.asking?.asking.cancel();
    this.asking = undefined;
    this.grown = undefined;
    this.tellGrowing();
  }

  dispose(): void {
    this.end();
    this.registration.dispose();
    this.disposables.forEach((each) => {
      each.dispose();
    });
  }

  private ask(client: LanguageClient, place: Place, context: vscode.InlineCompletionContext, grows: boolean): Asking {
    const asking = new Asking(askServer(client, place, context, grows), {
      column: place.position.character,
      patience: grows ? patience() : null,
      grown: (items) => {
        this.grow(place, items);
      },
    });
    this.asking = { asking, place };
    return asking;
  }

  private answer(client: LanguageClient, place: Place, items: Items): vscode.InlineCompletionItem[] {
    const { line, character } = place.position;
    this.shown.show(place.document.uri.toString(), line, character, items);
    if (items[0] !== undefined) {
      tellShown(client, items[0]);
    }
    return items.map((item) => client.protocol2CodeConverter.asInlineCompletionItem(item));
  }

  /**
   * There is more of it: have VS Code show that.
   *
   * At one place VS Code asks a provider once only, and where the user asks it to do so again, it prefers what it
   * shows already. A provider that is new to it is asked, and its answer takes the place of the other.
   */
  private grow(place: Place, items: Items): void {
    this.tellGrowing();
    if (!isHere(place)) {
      return;
    }
    this.grown = { items, place };
    const former = this.registration;
    this.registration = this.register();
    former.dispose();
    const whom = { providerId: `${this.extension}:*`, explicit: false };
    void vscode.commands.executeCommand("editor.action.inlineSuggest.trigger", whom);
  }

  private register(): vscode.Disposable {
    return vscode.languages.registerInlineCompletionItemProvider(this.selector, this);
  }

  private changed({ document, contentChanges }: vscode.TextDocumentChangeEvent): void {
    const [change, ...others] = contentChanges;
    if (change === undefined) {
      return; // its language or its being saved has changed, say
    }
    if (this.asking?.place.document === document) {
      this.end();
    }
    const client = this.client();
    if (client !== undefined && others.length === 0 && change.range.isEmpty) {
      const { line, character: column } = change.range.start;
      const accepted = this.shown.insert({ uri: document.uri.toString(), line, column, text: change.text });
      if (accepted !== undefined) {
        tellPartlyAccepted(client, accepted.item, accepted.length);
      }
    }
  }

  private moved(): void {
    if (this.asking !== undefined && !isHere(this.asking.place)) {
      this.end();
    }
  }

  private focused(editor: vscode.TextEditor | undefined): void {
    this.end();
    const client = this.client();
    if (client !== undefined && editor !== undefined && vscode.languages.match(this.selector, editor.document) > 0) {
      tellFocus(client, editor.document);
    }
  }

  private tellGrowing(): void {
    const growing = this.asking?.asking.growing ?? false;
    if (growing !== this.growing) {
      this.growing = growing;
      void vscode.commands.executeCommand("setContext", GROWING, growing);
    }
  }
}

function canGrow(): boolean {
  const [major = 0, minor = 0] = vscode.version.split(".").map(Number);
  return major > 1 || (major === 1 && minor >= GROWS_SINCE);
}

/** The user's latency budget: the server cuts nothing short that is seen to grow, so we do. */
function patience(): number | null {
  return vscode.workspace.getConfiguration("fimble").get<number | null>("latencyBudgetMs") ?? null;
}
