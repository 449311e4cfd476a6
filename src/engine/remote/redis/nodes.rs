//! Opens connections to single nodes of a Redis: the login, the transport and the limits.
//!
//! Everything that talks to a node of a given URL goes through here, the engine's commands as much
//! as the environment's questions, so that TLS and login are the same for all of them.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisError, TlsCertificates};

use super::address::{AddressError, NodeAddress, RedisAddress, Topology, at};

/// How many commands may wait to be written to one connection. The library's 50 would be the
/// bottleneck at 1,000 users.
const PIPELINE_BUFFER: usize = 4_096;
/// How long reaching a node may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The nodes of one Redis, as far as connecting to them goes.
#[derive(Clone, Debug)]
pub struct Nodes {
    address: RedisAddress,
    login: ConnectionInfo,
    sentinel_login: ConnectionInfo,
}

impl Nodes {
    /// Reads `url`, and the certificates that it names.
    ///
    /// # Errors
    /// If the URL cannot be used, or the file of `ca=` cannot be read.
    pub fn open(url: &str) -> Result<Self, AddressError> {
        let address: RedisAddress = url.parse()?;
        let login = match &address.ca {
            None => address.first.clone(),
            Some(file) => {
                let told = |why: &dyn std::fmt::Display| {
                    AddressError(format!("ca={} cannot be used: {why}", file.display()))
                };
                let pem = std::fs::read(file).map_err(|error| told(&error))?;
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(pem),
                };
                Client::build_with_tls(address.first.clone(), certificates)
                    .map_err(|error| told(&error))?
                    .get_connection_info()
                    .clone()
            }
        };
        let sentinel_login = sentinel_login(&login, &address);
        Ok(Self {
            address,
            login,
            sentinel_login,
        })
    }

    /// The URL's meaning.
    pub fn address(&self) -> &RedisAddress {
        &self.address
    }

    /// A client of one node.
    ///
    /// # Errors
    /// None in practice: the address was read before.
    pub fn client(&self, node: &NodeAddress) -> Result<Client, RedisError> {
        Client::open(at(&self.login, node))
    }

    /// A client of one Sentinel.
    pub(super) fn sentinel_client(&self, node: &NodeAddress) -> Result<Client, RedisError> {
        Client::open(at(&self.sentinel_login, node))
    }

    /// A connection to one node for questions that each take at most `limit`.
    ///
    /// # Errors
    /// If the node cannot be reached or refuses the login.
    pub async fn connect(
        &self,
        node: &NodeAddress,
        limit: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit.min(CONNECT_LIMIT)))
            .set_response_timeout(Some(limit));
        self.client(node)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// A connection that repairs itself, for commands that each take at most `limit`. It connects
    /// with its first command.
    pub(super) fn manage(
        &self,
        node: &NodeAddress,
        limit: Duration,
    ) -> Result<ConnectionManager, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(limit))
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_number_of_retries(3)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(500));
        ConnectionManager::new_lazy_with_config(self.client(node)?, config)
    }
}

/// Sentinels have a login of their own, or none, and no databases.
fn sentinel_login(login: &ConnectionInfo, address: &RedisAddress) -> ConnectionInfo {
    if address.topology != Topology::Sentinel {
        return login.clone();
    }
    let mut settings = ::redis::RedisConnectionInfo::default();
    settings = settings.set_protocol(login.redis_settings().protocol());
    if let Some(user) = &address.sentinels.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &address.sentinels.password {
        settings = settings.set_password(password);
    }
    login.clone().set_redis_settings(settings)
}
