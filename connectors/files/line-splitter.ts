/**
 * Bytes in chunks of any size into lines, with the byte offset right after each. Lines end at \n or \r\n; the last one may end
 * without. A line longer than the limit is cut and reported as such, and the rest of it is passed over.
 *
 * Memory: the unfinished line, at most the limit, and one chunk.
 */
import { isUtf8 } from 'node:buffer';

export interface Line {
  readonly text: string;
  /** Byte offset right after the line and its end. */
  readonly nextOffset: number;
  /** Why the text is not the line: it was cut, or its bytes are no UTF-8. */
  readonly fault?: string;
}

const LF = 0x0a;
const CR = 0x0d;
const REPLACEMENT = '\uFFFD';

export class LineSplitter {
  readonly #limitBytes: number;
  #rest: Buffer = Buffer.alloc(0);
  #offset: number;
  /** Bytes of an overlong line that were thrown away already. */
  #skipped = 0;

  constructor(offset: number, limitBytes: number) {
    this.#offset = offset;
    this.#limitBytes = limitBytes;
  }

  push(chunk: Uint8Array): readonly Line[] {
    const lines: Line[] = [];
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const data = this.#rest.length === 0 ? view : Buffer.concat([this.#rest, view]);
    // The unfinished line has no end in it: search the new bytes only.
    let end = data.indexOf(LF, this.#rest.length);
    let start = 0;
    for (; end !== -1; end = data.indexOf(LF, start)) {
      lines.push(this.#line(data.subarray(start, end), end + 1 - start));
      start = end + 1;
    }
    const rest = data.subarray(start);
    // One byte more than the limit is kept: the \r that may still turn out to belong to the end.
    const kept = Math.min(rest.length, this.#limitBytes + 1);
    this.#skipped += rest.length - kept;
    this.#rest = Buffer.from(rest.subarray(0, kept));
    return lines;
  }

  /** The line that the end of the file ends, if there is one. */
  end(): Line | undefined {
    if (this.#rest.length === 0) return undefined;
    const line = this.#line(this.#rest, this.#rest.length);
    this.#rest = Buffer.alloc(0);
    return line;
  }

  #line(bytes: Buffer, consumed: number): Line {
    const skipped = this.#skipped;
    this.#offset += consumed + skipped;
    this.#skipped = 0;
    const length =
      skipped === 0 && bytes.length > 0 && bytes[bytes.length - 1] === CR
        ? bytes.length - 1
        : bytes.length;
    const text = bytes.toString('utf8', 0, Math.min(length, this.#limitBytes));
    if (length + skipped > this.#limitBytes)
      return this.#faulty(text, `the line is longer than ${this.#limitBytes} bytes`);
    if (text.includes(REPLACEMENT) && !isUtf8(bytes))
      return this.#faulty(text, 'the line is not valid UTF-8');
    return { text, nextOffset: this.#offset };
  }

  #faulty(text: string, fault: string): Line {
    return { text, nextOffset: this.#offset, fault };
  }
}
