/**
 * Objects in a bucket of S3 or of anything that speaks its protocol.
 *
 * Conditional puts are S3's own: If-None-Match and If-Match. Where two of them race, S3 may answer 409 to one instead of deciding: it is
 * sent again a few times. Bodies carry a CRC-32 that the server checks. Large bodies go in parts.
 *
 * Requests: one each; `head` and `get` never more; a list, one per thousand objects; parts, two more than there are parts.
 */
import { crc32 } from 'node:zlib';
import { MillraceError } from '../../base/errors.ts';
import { checkKey, checkRange, objectNotFound } from '../object-key.ts';
import type { ByteRange, ConditionalPut, ETag, ObjectMeta, ObjectStore } from '../object-store.ts';
import {
  errorCodeOf,
  etagOf,
  failureOf,
  listingOf,
  type S3Answer,
  sizeOf,
  uploadIdOf,
} from './s3-answers.ts';
import { S3Client, type S3Options } from './s3-client.ts';

const MULTIPART_FROM_BYTES = 64 * 1024 * 1024;
const PART_BYTES = 16 * 1024 * 1024;
const PARTS_AT_ONCE = 4;
const UNDECIDED_MAX = 5;

export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  readonly #listPage: Readonly<Record<string, string>>;

  constructor(options: S3Options) {
    const { listPageKeysMax } = options;
    this.#listPage = listPageKeysMax === undefined ? {} : { 'max-keys': String(listPageKeysMax) };
    this.#client = new S3Client(options);
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkKey(key);
    if (range !== undefined) checkRange(key, range, Infinity);
    if (range?.length === 0) return this.#emptyRange(key, range, signal);
    const headers =
      range === undefined
        ? {}
        : { range: `bytes=${range.offset}-${range.offset + range.length - 1}` };
    const answer = await this.#client.send({ method: 'GET', key, headers, signal });
    if (isMissing(answer)) throw objectNotFound(key);
    if (range === undefined) {
      if (answer.status !== 200) throw failureOf(answer, 'get', key);
      return answer.body;
    }
    if (answer.status === 416) checkRange(key, range, totalOf(answer) ?? 0);
    if (answer.status === 200) {
      // A server that knows no ranges.
      checkRange(key, range, answer.body.length);
      return answer.body.subarray(range.offset, range.offset + range.length);
    }
    if (answer.status !== 206) throw failureOf(answer, 'get', key);
    if (answer.body.length === range.length && startsAt(answer, range.offset)) return answer.body;
    checkRange(key, range, totalOf(answer) ?? range.offset + answer.body.length);
    throw new MillraceError(
      'unavailable',
      'S3_BAD_ANSWER',
      `S3 answered a get of bytes ${range.offset} to ${range.offset + range.length} of ${key} with ${answer.body.length} bytes of ${String(answer.headers['content-range'])}`,
      { details: { key } },
    );
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    checkKey(key);
    const answer = await this.#client.send({ method: 'HEAD', key, signal });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw failureOf(answer, 'head', key);
    return { key, size: sizeOf(answer), etag: etagOf(answer, key) };
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    checkKey(key);
    if (bytes.length >= MULTIPART_FROM_BYTES) return this.#putParts(key, bytes, signal);
    const answer = await this.#send(key, bytes, {}, signal);
    if (!isStored(answer)) throw failureOf(answer, 'put', key);
    return etagOf(answer, key);
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    checkKey(key);
    return this.#putIf(key, bytes, { 'if-none-match': '*' }, signal);
  }

  async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    checkKey(key);
    return this.#putIf(key, bytes, { 'if-match': etag }, signal);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    checkKey(key);
    const answer = await this.#client.send({ method: 'DELETE', key, signal });
    if (answer.status !== 204 && answer.status !== 200 && !isMissing(answer))
      throw failureOf(answer, 'delete', key);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    const own = this.#client.prefix;
    let token: string | undefined;
    do {
      const query = {
        ...this.#listPage,
        'list-type': '2',
        prefix: own + prefix,
        ...(token === undefined ? {} : { 'continuation-token': token }),
      };
      const answer = await this.#client.send({ method: 'GET', key: undefined, query, signal });
      if (answer.status !== 200) throw failureOf(answer, 'list', prefix);
      const { objects, next } = listingOf(answer);
      for (const { key, size, etag } of objects) yield { key: key.slice(own.length), size, etag };
      token = next;
    } while (token !== undefined);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #send(
    key: string,
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<S3Answer> {
    const checked = { ...headers, 'x-amz-checksum-crc32': checksumOf(body) };
    return this.#client.send({ method: 'PUT', key, headers: checked, body, signal });
  }

  async #putIf(
    key: string,
    bytes: Uint8Array,
    condition: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#send(key, bytes, condition, signal);
      if (isStored(answer)) return { outcome: 'stored', etag: etagOf(answer, key) };
      // Not found: there is no object of that version.
      if (answer.status === 412 || isMissing(answer)) return { outcome: 'conflict' };
      if (answer.status !== 409 || attempt === UNDECIDED_MAX)
        throw failureOf(answer, 'conditional put', key);
    }
  }

  async #putParts(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    const created = await this.#client.send({
      method: 'POST',
      key,
      query: { uploads: '' },
      signal,
    });
    if (created.status !== 200) throw failureOf(created, 'multipart upload', key);
    const uploadId = uploadIdOf(created, key);
    try {
      const etags = await this.#sendParts(key, bytes, uploadId, signal);
      const body = Buffer.from(
        `<CompleteMultipartUpload>${etags
          .map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
          .join('')}</CompleteMultipartUpload>`,
      );
      const query = { uploadId };
      const done = await this.#client.send({ method: 'POST', key, query, body, signal });
      // This answer may be 200 and carry an error.
      if (done.status !== 200 || errorCodeOf(done) !== undefined)
        throw failureOf({ ...done, status: done.status === 200 ? 500 : done.status }, 'put', key);
    } catch (error) {
      await this.#client
        .send({ method: 'DELETE', key, query: { uploadId } })
        .catch(() => undefined);
      throw error;
    }
    const meta = await this.head(key, signal);
    if (meta === undefined) throw objectNotFound(key);
    return meta.etag;
  }

  async #sendParts(
    key: string,
    bytes: Uint8Array,
    uploadId: string,
    signal?: AbortSignal,
  ): Promise<readonly string[]> {
    const parts = Math.ceil(bytes.length / PART_BYTES);
    const etags: string[] = [];
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < parts) {
        const part = next++;
        const body = bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
        const query = { partNumber: String(part + 1), uploadId };
        const answer = await this.#client.send({ method: 'PUT', key, query, body, signal });
        if (answer.status !== 200) throw failureOf(answer, `part ${part + 1}`, key);
        etags[part] = etagOf(answer, key);
      }
    };
    const stopping = async (): Promise<void> => {
      try {
        await work();
      } catch (error) {
        next = parts;
        throw error;
      }
    };
    // A part that arrives after the upload was given up would stay, and be paid for.
    const ends = await Promise.allSettled(Array.from({ length: PARTS_AT_ONCE }, stopping));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    return etags;
  }

  async #emptyRange(key: string, range: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const meta = await this.head(key, signal);
    if (meta === undefined) throw objectNotFound(key);
    checkRange(key, range, meta.size);
    return new Uint8Array(0);
  }
}

const isStored = ({ status }: S3Answer): boolean =>
  status === 200 || status === 201 || status === 204;

/** Nothing else that is not found, such as a bucket or a user, may pass for a missing object. */
const isMissing = (answer: S3Answer): boolean =>
  answer.status === 404 && errorCodeOf(answer) === 'NoSuchKey';

/** Size of the object, from the answer to a range. */
/** Whether the answer says so, or says nothing. */
function startsAt({ headers }: S3Answer, offset: number): boolean {
  const range = headers['content-range'];
  const start = typeof range === 'string' ? /^bytes (\d+)-/.exec(range)?.[1] : undefined;
  return start === undefined || Number(start) === offset;
}

function totalOf({ headers }: S3Answer): number | undefined {
  const range = headers['content-range'];
  const total = typeof range === 'string' ? /\/(\d+)$/.exec(range)?.[1] : undefined;
  return total === undefined ? undefined : Number(total);
}

function checksumOf(bytes: Uint8Array): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}
