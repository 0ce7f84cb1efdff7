/** One thing at a time; what is wished for again while it still waits is done once. */
export class Queue {
  private last: Promise<void> = Promise.resolve();
  private waiting: { readonly name: string; readonly done: Promise<void> } | undefined;

  /** Run `task` when all before it has ended. Resolves when it, or one of the same name that waits already, has run. */
  run(name: string, task: () => Promise<void>): Promise<void> {
    if (this.waiting?.name === name) {
      return this.waiting.done;
    }
    const done = this.last.then(() => {
      if (this.waiting === entry) {
        this.waiting = undefined;
      }
      return task();
    });
    const entry = { name, done };
    this.waiting = entry;
    this.last = done.catch(() => undefined);
    return done;
  }
}
