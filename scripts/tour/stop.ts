/** Ends the tour with a line for its user and an exit code; anything else that is thrown is a failed step (1). */
export class TourStop extends Error {
  override readonly name = 'TourStop';
  readonly exit: number;

  constructor(exit: number, message: string) {
    super(message);
    this.exit = exit;
  }
}
