/** First in, first out: functions to be run on the task's thread between two pieces of work. */

export type Mail = () => void;

export class Mailbox {
  #mails: (Mail | undefined)[] = [];
  #next = 0;
  #closed = false;

  get size(): number {
    return this.#mails.length - this.#next;
  }

  /** Without effect after `close`. */
  put(mail: Mail): void {
    if (!this.#closed) this.#mails.push(mail);
  }

  take(): Mail | undefined {
    const mail = this.#mails[this.#next];
    if (mail === undefined) return undefined;
    this.#mails[this.#next++] = undefined;
    if (this.#next === this.#mails.length) {
      this.#mails = [];
      this.#next = 0;
    }
    return mail;
  }

  /** Drops what is in it and what will come. */
  close(): void {
    this.#closed = true;
    this.#mails = [];
    this.#next = 0;
  }
}
