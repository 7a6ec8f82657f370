/** Why a request came to nothing, and the sentence that says so to somebody at this page. */

/** The stand-in refused what the page asked for; `errors` is Discord's nested tree of field errors. */
export class Refused extends Error {
  constructor(frame) {
    super(frame.message || "The request was refused.");
    this.code = frame.code;
    this.details = flattenErrors(frame.errors);
  }
}

/** Three seconds passed without an answer of the bot. */
export class NoAnswer extends Error {
  constructor(frame) {
    super("The application did not respond");
    this.messageId = frame.message_id ?? null;
  }
}

/** The connection ended before the answer came. */
export class Disconnected extends Error {
  constructor() {
    super("Fourfold has stopped or cannot be reached. Start it again with “fourfold play”.");
  }
}

/** What Discord's refusals mean to somebody at this page, by their code; 50024 and 50035 say it themselves. */
const SENTENCES = {
  0: "Something failed inside Fourfold, and its log says what. Please try again.",
  10003: "That channel is gone.",
  10008: "That message is gone.",
  10013: "That member is gone.",
  10062: "This took too long and is no longer open. Please start it again.",
  10063: "That command is gone. Type / to see the commands there are.",
  50001: "This member cannot see that channel.",
  50006: "A message needs some text.",
  50013: "This member is not allowed to do that here.",
  50109: "This page and Fourfold do not understand each other. Please reload the page.",
};

/** One or more plain sentences for an error of the socket. */
export function describeFailure(error) {
  // With details, Discord's own sentence is only ever "Invalid Form Body".
  if (error instanceof Refused) {
    if (error.details.length) return `This was refused: ${error.details.join("; ")}`;
    return SENTENCES[error.code] ?? error.message;
  }
  if (error instanceof NoAnswer || error instanceof Disconnected) return error.message;
  throw error;
}

/** Discord nests field errors as {field: {_errors: [{message}]}}; gives "message (field)" sentences. */
function flattenErrors(errors, path = []) {
  if (!errors || typeof errors !== "object") return [];
  return Object.entries(errors).flatMap(([key, value]) => {
    if (key === "_errors")
      return value.map(({ code, message }) => {
        if (code === "COMPONENT_VALIDATION_FAILED") return "this choice is not offered any more";
        return path.length ? `${message} (${path.join(".")})` : message;
      });
    return flattenErrors(value, [...path, key]);
  });
}
