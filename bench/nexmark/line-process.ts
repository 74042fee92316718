/** A child process that answers each line it is given with one line: how contestants take turns. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const ERROR_CHARACTERS_MAX = 4096;

export class LineProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(name: string, command: string, args: readonly string[]) {
    this.#name = name;
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-ERROR_CHARACTERS_MAX);
    });
    this.#child.stdin!.on('error', () => {}); // its end is seen where it does not answer
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** @throws RangeError when the process ends instead */
  async ask(line: string): Promise<string> {
    this.#child.stdin!.write(`${line}\n`);
    const answer = await this.#lines.next();
    if (answer.done !== true) return answer.value;
    throw new RangeError(`${this.#name} ended at '${line}': ${this.#errors}`);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin!.end();
    await exited;
  }
}
