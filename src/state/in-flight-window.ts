/**
 * How many records may wait or run while something that has completed waits to be run: as many as arrive during a load, by Little's law.
 * What is beyond it does not keep the task busier, and fills caches.
 *
 * Measured, not computed: it grows when there is nothing else to do than to take input, whatever its size; and shrinks when something was
 * left to be run at all times of a round trip, which is a load's begin to its end. Input that is then taken as fast as what completed
 * leaves keeps loads evenly spread. Taken in bursts it would come back in bursts, with nothing to do between them.
 */

/** Of the window, what is kept as a reserve, and what is taken off at once: the reserve outlasts the pause in input that this makes. */
const SHARE = 8;

export class InFlightWindow {
  #records = 0;
  /** The load that measures the round trip, and the fewest keys that were left to be run since it began. */
  #load: object | undefined;
  #fewestLeft = 0;

  /** `left`: keys whose records have completed and have not been run. */
  admits(inFlight: number, left: number): boolean {
    return left === 0 || inFlight < this.#records;
  }

  /** Input has been taken because there was nothing else to do. */
  starved(inFlight: number): void {
    if (inFlight > this.#records) this.#records = inFlight;
  }

  began(load: object, left: number): void {
    if (this.#load !== undefined) return;
    this.#load = load;
    this.#fewestLeft = left;
  }

  ran(left: number): void {
    if (left < this.#fewestLeft) this.#fewestLeft = left;
  }

  ended(load: object): void {
    if (load !== this.#load) return;
    this.#load = undefined;
    const reserve = this.#records / SHARE;
    const spare = this.#fewestLeft - reserve;
    if (spare > 0) this.#records -= Math.min(spare, reserve);
  }
}
