// What script adds to pages that work without it. Each module is one concern; this
// one puts them together. Their files are one graph: should one not come, none
// runs, and the page stays a page of forms.
import { $, startNotices } from './page.js';
import { takeOver } from './htmx.js';
import { guard } from './answers.js';
import { startSignIn } from './signin.js';
import { arrange, startRows } from './rows.js';
import { startView } from './view.js';
import { startComposer } from './composer.js';
import { startLive } from './live.js';
import { startCounts } from './counts.js';
import { startReading } from './reading.js';
import { startTyping } from './typing.js';

const start = () => {
	guard();
	startNotices();
	startSignIn();
	if ($('news')) startCounts();
	const line = $('live') && startLive();
	if ($('messages')) {
		arrange();
		const view = startView();
		startRows(view);
		const outbox = startComposer(line, view);
		if (line) {
			outbox.addEventListener('lost', line.suspect);
			startReading(line, outbox);
			startTyping(line, outbox);
		}
	}
	takeOver();
};

// A page that is loaded in advance does nothing till somebody sees it: it would
// say that they are here, and have read it.
if (document.prerendering) document.addEventListener('prerenderingchange', start, { once: true });
else start();
