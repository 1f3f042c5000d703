// A press of a button starts one thing, however often the press, or the request that it makes, is repeated.
import { Problem } from "./api.ts";

/** milliseconds before each further try of a request that was not answered */
const DELAYS = [500, 1500, 3000];

/** A key that nobody else has. */
function unique(): string {
  // plain http to another machine: no randomUUID there
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A button that starts something. */
export class Press {
  #key = "";
  #of = "";

  /**
   * Send a start until it is answered, each time with the same key.
   *
   * When nobody answers, the next press for the same thing goes on with that key, for the start may have happened.
   *
   * @param of What is started; another one is another press.
   * @param request Sends it.
   * @param delays Milliseconds before each further try.
   * @throws Problem when it is refused, or not answered at all.
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
