/** HTTP: a source that is pushed to, a sink of requests: `@millrace/http`. */
export { httpSink, type HttpSinkOptions } from './http-sink.ts';
export { httpSource, type HttpSourceOptions } from './http-source.ts';
