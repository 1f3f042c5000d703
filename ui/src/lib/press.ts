// Idempotent starts: a press of a button starts one thing, even if the press or its request is repeated.
import { Problem } from "./api.ts";

/** milliseconds before each retry of a request that got no response */
const DELAYS = [500, 1500, 3000];

/** A unique key. */
function unique(): string {
  // plain http to another machine has no randomUUID
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A button that starts something. */
export class Press {
  #key = "";
  #of = "";

  /**
   * Send a start until there is a response, each time with the same key.
   *
   * If there is none, the next press for the same subject uses the same key, because the start may have happened.
   *
   * @param of The subject; a different one gets a new key.
   * @param request Sends the request.
   * @param delays Milliseconds before each retry.
   * @throws Problem if it is refused, or there is no response at all.
   */
  async send<T>(of: unknown, request: (key: string) => Promise<T>, delays: readonly number[] = DELAYS): Promise<T> {
    const text = JSON.stringify(of, (_, value: unknown) =>
      value instanceof File ? [value.name, value.size, value.lastModified] : value,
    );
    if (!this.#key || text !== this.#of) [this.#key, this.#of] = [unique(), text];
    for (let tries = 0; ; tries++) {
      try {
        const answer = await request(this.#key);
        this.#key = "";
        return answer;
      } catch (error) {
        const problem = Problem.of(error);
        const delay = delays[tries];
        if (!problem.passes) this.#key = "";
        if (!problem.passes || delay === undefined) throw problem;
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
  }
}
