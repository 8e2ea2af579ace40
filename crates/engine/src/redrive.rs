//! Redrive: a run that has ended is done again, by a person's word.
//!
//! A new run answers the same event, or a corrected one, under the rules of now, and goes the way of any other: limits,
//! pacing, retries. The two know each other, and a run is done again once: to redrive twice at a time makes one run.

use taskferry_core::{
    event::Event,
    lifecycle::Happening,
    plan, reason,
    rules::Rule,
    run::{Run, RunId},
};

use crate::{
    Engine, Error,
    advance::Patience,
    dispatch::{Dispatched, unusable},
    ports::{self, Ports, Runs as _},
};

/// Why a run is not done again.
#[derive(Debug, thiserror::Error)]
pub enum NotRedriven {
    /// It is still under way.
    #[error("run {0} has not ended")]
    NotEnded(RunId),
    /// It was done again before.
    #[error("run {run} was done again as run {by}")]
    Before {
        /// The run.
        run: RunId,
        /// The run that did it again.
        by: RunId,
    },
    /// Its rule is gone.
    #[error("the rules have no rule `{rule}` any more")]
    NoRule {
        /// The rule.
        rule: String,
    },
    /// Its event is not kept any more.
    #[error("the event of run {0} is not kept any more")]
    NoEvent(RunId),
    /// What is kept of it was a message that could never be taken.
    #[error(
        "run {run} is a message that could not be taken, and would not be as it is: hand in the event that it should have been \
         (--event)"
    )]
    Untaken {
        /// The run.
        run: RunId,
    },
    /// What is kept as its event cannot be read.
    #[error("the event of the run cannot be read")]
    Event(#[from] taskferry_core::event::Error),
}

/// What a redrive would come to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Foreseen {
    /// The run that would do it again.
    pub run_id: RunId,
    /// Why that run would be refused at once, if it would.
    pub refusal: Option<String>,
}

impl<P: Ports> Engine<P> {
    /// Does a run again that has ended, with its event or with another one in its place.
    ///
    /// # Errors
    ///
    /// [`NotRedriven`] says why not; a port's, and then to try again does no harm.
    pub async fn redrive(&self, id: &RunId, event: Option<Event>) -> Result<Dispatched, Error> {
        let (run, rule, event) = self.redrivable(id, event).await?;
        let plan = plan::again(&self.rules, rule, &event, &run);
        let how = Box::pin(self.launch(&plan, None)).await?.how;
        let (rule, run_id) = (plan.rule.name.to_string(), plan.run_id);
        let redriven = Happening::Redriven { by: run_id.clone() };
        match Box::pin(self.advance(run, redriven, Patience::None)).await {
            // A record that was deleted meanwhile needs to know nothing any more.
            Ok(_) | Err(Error::NoRun(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(Dispatched { rule, run_id, how })
    }

    /// What [`Self::redrive`] would come to. Nothing is done.
    ///
    /// # Errors
    ///
    /// Those of [`Self::redrive`].
    pub async fn foresee_redrive(
        &self,
        id: &RunId,
        event: Option<Event>,
    ) -> Result<Foreseen, Error> {
        let (run, rule, event) = self.redrivable(id, event).await?;
        let plan = plan::again(&self.rules, rule, &event, &run);
        let refusal = match &plan.request {
            Err(refusal) => Some(reason(refusal)),
            Ok(request) => match self.task_definition(request.task_definition()).await {
                Ok(_) => None,
                Err(ports::Error::Refused { source, .. }) => Some(unusable(request, &*source)),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Foreseen { run_id: plan.run_id, refusal })
    }

    /// The run, if it may be done again, with its rule and the event that it then answers.
    async fn redrivable(
        &self,
        id: &RunId,
        event: Option<Event>,
    ) -> Result<(Run, &Rule, Event), Error> {
        let run = self.run(id).await?;
        let rule = match &run.redriven_by {
            _ if !run.status.is_terminal() => Err(NotRedriven::NotEnded(id.clone())),
            Some(by) => Err(NotRedriven::Before { run: id.clone(), by: by.clone() }),
            None => {
                let rule = self.rules.rules.iter().find(|rule| rule.name.as_ref() == run.rule);
                rule.ok_or_else(|| NotRedriven::NoRule { rule: run.rule.clone() })
            }
        };
        let rule = rule?;
        let event = match event {
            Some(event) => event,
            None if run.is_untaken => return Err(NotRedriven::Untaken { run: run.id }.into()),
            None => self.event_of(&run).await?,
        };
        Ok((run, rule, event))
    }

    async fn event_of(&self, run: &Run) -> Result<Event, Error> {
        let event = self.ports.runs().event(&run.id).await?;
        let event = event.ok_or_else(|| NotRedriven::NoEvent(run.id.clone()))?;
        Ok(Event::parse(&event).map_err(NotRedriven::Event)?)
    }
}
