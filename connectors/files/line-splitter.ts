/**
 * Bytes in chunks of any size into lines, with the byte offset at which each begins. Lines end at \n or \r\n; the last one may end
 * without. A line longer than the limit is cut and reported as such, and the rest of it is passed over.
 */
export interface Line {
  readonly text: string;
  /** Byte offset right after the line and its end. */
  readonly nextOffset: number;
  readonly tooLong: boolean;
}

const LF = 0x0a;
const CR = 0x0d;

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
    let data = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    for (let end = data.indexOf(LF); end !== -1; end = data.indexOf(LF)) {
      lines.push(this.#line(data.subarray(0, end), end + 1));
      data = data.subarray(end + 1);
    }
    if (data.length > this.#limitBytes) {
      // Keep enough to say what it was; the end of the line will come.
      this.#skipped += data.length - this.#limitBytes;
      data = data.subarray(0, this.#limitBytes);
      this.#rest = Buffer.from(data);
      return lines;
    }
    this.#rest = Buffer.from(data);
    return lines;
  }

  /** The line that the end of the file ends, if there is one. */
  end(): Line | undefined {
    if (this.#rest.length + this.#skipped === 0) return undefined;
    const line = this.#line(this.#rest, this.#rest.length);
    this.#rest = Buffer.alloc(0);
    return line;
  }

  #line(bytes: Buffer, consumed: number): Line {
    const tooLong = bytes.length + this.#skipped > this.#limitBytes;
    this.#offset += consumed + this.#skipped;
    this.#skipped = 0;
    const end =
      bytes.length > 0 && bytes[bytes.length - 1] === CR ? bytes.length - 1 : bytes.length;
    return {
      text: bytes.toString('utf8', 0, Math.min(end, this.#limitBytes)),
      nextOffset: this.#offset,
      tooLong,
    };
  }
}
