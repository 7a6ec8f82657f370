/** Where the keyboard goes back to when something that was opened closes. */

/**
 * Notes what opens something, by default what has the focus; the returned function gives the focus back to it. An answer of the
 * bot redraws the pressed button meanwhile, so its successor takes its place; then the message; last the message box.
 */
export function rememberFocus(opener = document.activeElement) {
  const message = opener?.closest(".message");
  const customId = opener?.dataset.customId;
  return () => {
    if (!opener || opener === document.body) return;
    const successor = customId && message?.querySelector(`[data-custom-id="${CSS.escape(customId)}"]`);
    const left = [opener, successor, message, document.getElementById("composer")];
    left.find((node) => node?.isConnected).focus({ preventScroll: true });
  };
}
