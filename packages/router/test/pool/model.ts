/**
 * What a pool must do, in a list and a counter: imports nothing, so that it cannot repeat a mistake of the source. Who
 * is `away` has lost its link for longer than the reserve.
 */
export class Model {
  slots: string[] = [];
  line: string[] = [];
  readonly away: string[] = [];
  readonly displaced = new Set<string>();
  maximum: number;

  constructor(maximum: number) {
    this.maximum = maximum;
  }

  join(who: string): void {
    if (this.slots.includes(who) || this.line.includes(who)) return this.comeBack(who);
    if (this.displaced.delete(who)) this.line.unshift(who);
    else if (this.line.length < 2 * this.maximum + 10) this.line.push(who);
    this.#move();
  }

  leave(who: string): void {
    this.slots = this.slots.filter((other) => other !== who);
    this.line = this.line.filter((other) => other !== who);
    this.comeBack(who);
    this.#move();
  }

  lose(who: string): void {
    this.line = this.line.filter((other) => other !== who);
    if (this.slots.includes(who) && !this.away.includes(who)) this.away.push(who);
    this.#move();
  }

  resize(maximum: number): void {
    this.maximum = maximum;
    this.#move();
  }

  comeBack(who: string): void {
    if (this.away.includes(who)) this.away.splice(this.away.indexOf(who), 1);
  }

  #move(): void {
    while (this.line.length > 0 && this.slots.length < this.maximum) this.slots.push(this.line.shift() ?? '');
    while (this.line.length > 0 && this.away.length > 0 && this.slots.length <= this.maximum) {
      const gone = this.away.shift() ?? '';
      this.slots = this.slots.filter((other) => other !== gone);
      this.displaced.add(gone);
      this.slots.push(this.line.shift() ?? '');
    }
  }
}
