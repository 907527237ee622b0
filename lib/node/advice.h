/* lib/node/advice.h
 *
 * What a configuration may say and is hardly meant to: the node runs with it and does not do what
 * its operator waits for. check-config prints it, a start logs it.
 * Thread: any. Asks the kernel which addresses the machine has.
 */
#ifndef LARDER_NODE_ADVICE_H
#define LARDER_NODE_ADVICE_H

struct config;
struct option_report;

/* A line each; none: nothing to say. The report is begun and ended by somebody else. */
void advice_collect(const struct config *c, struct option_report *report);

#endif
