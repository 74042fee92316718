/** What S3 answers, read: errors as Millrace's, listings, multipart ids. */
import { invalid, MillraceError } from '../../base/errors.ts';

export interface S3Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const headerOf = (answer: S3Answer, name: string): string | undefined => {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
};

/** @throws `unavailable` S3_BAD_ANSWER where a server sends none */
export function etagOf(answer: S3Answer, key: string): string {
  const etag = headerOf(answer, 'etag');
  if (etag === undefined)
    throw unavailable('S3_BAD_ANSWER', `an answer for ${key} has no ETag`, { key });
  return etag;
}

export const sizeOf = (answer: S3Answer): number => Number(headerOf(answer, 'content-length'));

/** The code in an error body; also of answers with status 200 that carry an error. */
export const errorCodeOf = ({ body }: S3Answer): string | undefined =>
  /<Code>([^<]+)<\/Code>/.exec(body.toString('utf8', 0, Math.min(body.length, 4096)))?.[1];

const unavailable = (code: string, message: string, details: Record<string, unknown>) =>
  new MillraceError('unavailable', code, message, { details });

/** Servers differ in the status that they send along. */
const DENIED: ReadonlySet<string> = new Set([
  'AccessDenied',
  'InvalidAccessKeyId',
  'InvalidAccessKey',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
  // versitygw
  'XAdminUserNotFound',
]);

/** The error for an answer that is not what was asked for. Says nothing of credentials. */
export function failureOf(answer: S3Answer, what: string, key: string): MillraceError {
  const { status } = answer;
  const code = errorCodeOf(answer) ?? 'no code';
  const text = `S3 answered ${status} (${code}) to ${what} of ${key}`;
  if (status === 404 && code === 'NoSuchBucket')
    return invalid('S3_NO_SUCH_BUCKET', `${text}: the bucket does not exist; create it`, { key });
  if (status === 401 || status === 403 || DENIED.has(code))
    return invalid(
      'S3_ACCESS_DENIED',
      `${text}: check s3.access-key, s3.secret-key, s3.session-token, and what they may do in this bucket`,
      { key, code },
    );
  if (
    status === 301 ||
    status === 307 ||
    (status === 400 && code === 'AuthorizationHeaderMalformed')
  )
    return invalid(
      'S3_WRONG_REGION',
      `${text}: set s3.region and s3.endpoint to those of the bucket`,
      {
        key,
      },
    );
  const after = Number(headerOf(answer, 'retry-after'));
  const retryAfterMs = Number.isFinite(after) ? after * 1000 : undefined;
  const throttled = status === 429 || status === 503;
  if (throttled || status >= 500 || status === 408 || status === 409)
    return unavailable(throttled ? 'S3_THROTTLED' : 'S3_UNAVAILABLE', text, {
      key,
      status,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  return invalid('S3_REFUSED', text, { key, status, code });
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
  '&#34;': '"',
  '&#39;': "'",
};

const textOf = (xml: string, tag: string): string | undefined =>
  new RegExp(`<${tag}>([^<]*)</${tag}>`)
    .exec(xml)?.[1]
    ?.replace(/&(?:amp|lt|gt|quot|apos|#34|#39);/g, (entity) => ENTITIES[entity]!);

export interface Listing {
  readonly objects: readonly {
    readonly key: string;
    readonly size: number;
    readonly etag: string;
  }[];
  /** Undefined at the end. */
  readonly next: string | undefined;
}

export function listingOf({ body }: S3Answer): Listing {
  const xml = body.toString('utf8');
  const objects = [...xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)].map(([, object]) => ({
    key: textOf(object!, 'Key') ?? '',
    size: Number(textOf(object!, 'Size')),
    etag: textOf(object!, 'ETag') ?? '',
  }));
  const more = textOf(xml, 'IsTruncated') === 'true';
  return { objects, next: more ? textOf(xml, 'NextContinuationToken') : undefined };
}

export function uploadIdOf(answer: S3Answer, key: string): string {
  const id = textOf(answer.body.toString('utf8'), 'UploadId');
  if (id === undefined) throw unavailable('S3_BAD_ANSWER', `no upload id for ${key}`, { key });
  return id;
}
