/** The client's fault, or more than it may have, found before a handler was asked. The message goes to the client. */
export class Refused extends Error {
  override readonly name = "Refused";
  /** Of HTTP. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
