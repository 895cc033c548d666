import { createPiece } from '@activepieces/pieces-framework';
import { newEvent } from './new-event';
import { relayAuth } from './relay';
import { runAction } from './run-action';

const CLOCK = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#0b7285" stroke-width="2">
<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3 3"/></svg>`;

export const camsRelay = createPiece({
  displayName: 'cams-relay',
  description: 'Events and commands of biometric attendance machines',
  logoUrl: `data:image/svg+xml,${encodeURIComponent(CLOCK)}`,
  auth: relayAuth,
  authors: ['cams-relay'],
  triggers: [newEvent],
  actions: [runAction],
});
