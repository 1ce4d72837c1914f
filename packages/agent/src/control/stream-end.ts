import type { MessageStream, Stream } from "@libp2p/interface";

/** Closes the stream when the work is done and resets it when it failed or the time is up. */
export async function endingStream<T>(stream: Stream, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const onAbort = (): void => stream.abort(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const result = await work();
    await stream.close({ signal });
    return result;
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)));
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Runs `work` with a signal that is aborted when the stream closes. */
export async function whileOpen<T>(stream: MessageStream, work: (gone: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onClose = (): void => controller.abort();
  stream.addEventListener("close", onClose, { once: true });
  if (stream.status !== "open") onClose();
  try {
    return await work(controller.signal);
  } finally {
    stream.removeEventListener("close", onClose);
  }
}
