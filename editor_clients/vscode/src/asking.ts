/**
 * One question to the server, whose answer is seen to grow.
 *
 * provider ▶ **asking** ▶ worth. VS Code takes one answer to a question. It gets the beginning as soon as that is
 * worth showing; whenever there is more, `grown` is called, and VS Code is made to ask again.
 */
import type { InlineCompletionItem } from "vscode-languageclient/node";
import { textOf, wholeLines, wholeWords } from "./worth";

export type Items = readonly InlineCompletionItem[];

/** Asks the server: `partial` is called with what there is so far; null says that a newer question has come. */
export type Ask = (partial: (items: Items) => void) => {
  readonly answer: Promise<Items | null>;
  readonly cancel: () => void;
};

export interface AskingOptions {
  /** The cursor's column. */
  readonly column: number;
  /** Milliseconds after which some words are better than nothing, and some more than those; null for never. */
  readonly patience: number | null;
  /** Called with what is to be shown in place of what was shown first. */
  readonly grown: (items: Items) => void;
}

export class Asking {
  /** What is to be shown first. */
  readonly first: Promise<Items | null>;

  private readonly options: AskingOptions;
  private readonly stop: () => void;
  private resolve: (items: Items | null) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;
  private latest: InlineCompletionItem | undefined;
  private shown: InlineCompletionItem | undefined;
  private over = false;

  constructor(ask: Ask, options: AskingOptions) {
    this.options = options;
    this.first = new Promise((resolve) => {
      this.resolve = resolve;
    });
    const { answer, cancel } = ask((items) => {
      this.latest = items[0];
      this.consider(wholeLines);
    });
    this.stop = cancel;
    if (options.patience !== null) {
      this.timer = setInterval(() => {
        this.consider(wholeWords);
      }, options.patience);
    }
    answer.then(
      (items) => {
        this.finish(items);
      },
      () => {
        this.finish(null);
      },
    );
  }

  /** Whether part of it is shown, and the rest is still to come. */
  get growing(): boolean {
    return this.shown !== undefined && !this.over;
  }

  /** Nobody wants it any more. */
  cancel(): void {
    if (!this.over) {
      this.end();
      this.stop();
      this.resolve(null);
    }
  }

  /** Show the part of what has come that is `worth` it, unless that is shown already. */
  private consider(worth: typeof wholeLines): void {
    const part = this.latest === undefined || this.over ? undefined : worth(this.latest, this.options.column);
    if (part !== undefined && (this.shown === undefined || textOf(part).length > textOf(this.shown).length)) {
      this.show([part]);
    }
  }

  private finish(items: Items | null): void {
    if (this.over) {
      return;
    }
    this.end();
    if (this.shown === undefined) {
      this.resolve(items);
    } else if (items?.[0] !== undefined && textOf(items[0]) !== textOf(this.shown)) {
      this.show(items); // nothing is taken back where the answer is none: what was seen may be accepted yet
    }
  }

  private show(items: Items): void {
    const first = this.shown === undefined;
    this.shown = items[0];
    if (first) {
      this.resolve(items);
    } else {
      this.options.grown(items);
    }
  }

  private end(): void {
    this.over = true;
    clearInterval(this.timer);
  }
}
