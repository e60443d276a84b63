// Typing: told at once, and again while it goes on, before others forget it.
// Nothing is told later, when the typing may be over; and nothing on a line that
// is known not to work.
import { $ } from './page.js';
import { post } from './answers.js';

const AGAIN = 3000; // ms between two words; the server holds one for five seconds

export const startTyping = (line, outbox) => {
	const box = $('body');
	const address = $('live').dataset.path.replace(/live$/, 'typing');
	let told = 0;
	let typed = 0;
	const tell = () => {
		const works = line.state === 'live' || line.state === 'connecting';
		if (!works || Date.now() < told + AGAIN || !box.value.trim()) return;
		told = Date.now();
		post(address, {});
	};
	box.addEventListener('input', () => {
		typed = Date.now();
		tell();
	});
	// The post has ended it for others: what is typed next is told at once, and so
	// is what was typed while the post was under way.
	outbox.addEventListener('done', () => {
		told = 0;
		if (Date.now() < typed + AGAIN) tell();
	});
};
