//! The admin listener: `/healthz`, `/readyz`, `/metrics`.
use super::{Health, Seen, metrics};
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, Request, Response, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use std::sync::Arc;
use tidegate_entrypoints::{
    http::{body::Body, flight::Flight},
    listener::{Connection, Handler},
};
use tidegate_gateway::metrics::Metrics;
use tower::ServiceExt;

/// Everything the admin listener answers from.
pub(crate) struct Board {
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) seen: Arc<Seen>,
    pub(super) flight: Arc<Flight>,
}
impl Board {
    /// The handler over it.
    pub(crate) fn admin(health: Arc<Health>, metrics: Arc<Metrics>, seen: Arc<Seen>, flight: Arc<Flight>) -> Arc<Admin> {
        let board = Arc::new(Self {
            health,
            metrics,
            seen,
            flight,
        });
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(numbers))
            .with_state(board);
        Arc::new(Admin(router))
    }
}
async fn ready(State(board): State<Arc<Board>>) -> impl IntoResponse {
    match board.health.is_ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
async fn numbers(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    match metrics::text(&board) {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
/// The router behind our own accept loop.
pub(crate) struct Admin(Router);
impl Handler for Admin {
    async fn handle(self: Arc<Self>, request: Request<hyper::body::Incoming>, _connection: Arc<Connection>) -> Response<Body> {
        match self.0.clone().oneshot(request).await {
            Ok(response) => response.map(Body::other),
            Err(never) => match never {},
        }
    }
}
