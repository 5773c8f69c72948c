/** A refused call or an answer that failed; subclasses say of which kind. The message is the library's own. */
export class FastserveError extends Error {
  /** The C constant's name, such as "FSV_ERROR_NOT_FOUND". */
  readonly code: string;
  /** Its number, one of Status. */
  readonly status: number;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = new.target.name;
    this.status = status;
    this.code = code;
  }
}
